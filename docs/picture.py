"""The picture of the report in README.md: the first screen of a run's report.html, by headless Chromium.

python docs/picture.py RUN    # writes docs/images/report.png
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from byrote.pdf import find_browser

PICTURE = Path(__file__).parent / "images" / "report.png"
WIDTH, HEIGHT = 1180, 700


def main() -> None:
    """One picture."""
    page_of_run = Path(sys.argv[1]).resolve() / "report.html"
    PICTURE.parent.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(page_of_run.as_uri())
        page.screenshot(path=PICTURE)
        browser.close()
    sys.stdout.write(f"{PICTURE}: {PICTURE.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()

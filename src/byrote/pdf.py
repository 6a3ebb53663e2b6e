"""A page as PDF, printed by a headless Chromium where one is found."""

import os
import shutil
import subprocess
from pathlib import Path

from byrote.errors import StageError, StudyError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
SECONDS = 120


def find_browser() -> str:
    """The browser that prints. StudyError where none of BROWSERS is on the path."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise StudyError(
            f"no Chromium to print with ({', '.join(BROWSERS)}): install one, as in `apt-get install chromium`, or "
            "open report.html in a browser and print it"
        )
    return found


def print_pdf(page: Path, to: Path) -> None:
    """Print a page to a file. StageError where the browser fails or takes longer than SECONDS."""
    command = [find_browser(), "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={to}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Chromium's sandbox refuses root
        command.append("--no-sandbox")
    try:
        done = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise StageError(f"{command[0]} did not print {page} within {SECONDS} s") from None
    if done.returncode or not to.exists():
        raise StageError(f"{command[0]} did not print {page}: {done.stderr.strip().splitlines()[-1:]}")

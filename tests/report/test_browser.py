"""The report in a browser, as a person reads it: with scripts and without, on a desk, a phone and paper."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from byrote.figures import draw_all
from fake_report import report
from fake_tables import fake_tables

pytestmark = pytest.mark.browser
PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MARGIN = dict.fromkeys(("top", "bottom", "left", "right"), "14mm")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    tables = fake_tables(("q", "k", "v", "o"), (8,), canaries=8)
    path = folder / "report.html"
    path.write_text(report(tables, folder, drawn=draw_all(tables, folder / "figures")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    place = next((place for place in PLACES if Path(place).exists()), None)
    assert place, f"no Chromium at {', '.join(PLACES)}: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Any]:
    """Opens the page in a context of its own; whatever the page asks for beside itself is an error."""
    contexts, asked, broken = [], [], []

    def opened(**how: Any) -> Page:
        context = browser.new_context(**{"viewport": DESK, **how})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert {url.partition("#")[0] for url in asked} == {file.as_uri()}
    assert broken == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_nothing_wrong(opened: Any, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("scripts", [True, False])
def test_every_link_leads_to_a_place_on_the_page(opened: Any, scripts: bool) -> None:
    page = opened(java_script_enabled=scripts)
    links = [link.get_attribute("href") for link in page.query_selector_all("a")]
    assert len(links) > 5
    for link in links:
        assert link.startswith("#")
        page.click(f'a[href="{link}"]')
        assert page.query_selector(f'[id="{link[1:]}"]').is_visible()


def test_tables_sort_and_filter_where_scripts_run(opened: Any) -> None:
    page = opened()
    table = page.locator("#membership ~ .wide table").first
    column = [c.inner_text() for c in table.locator("thead th").all()].index("AUC")
    cells = table.locator(f"tbody tr > :nth-child({column + 1})")
    button = table.locator("thead th button").nth(column)
    button.click()
    rising = [float(text) for text in cells.all_inner_texts()]
    assert rising == sorted(rising)
    assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert [float(text) for text in cells.all_inner_texts()] == rising[::-1]
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    words = page.locator(".filter input").first
    rows = words.locator("xpath=ancestor::label/following-sibling::div[1]//tbody/tr")
    before = rows.count()
    words.fill("loss")
    shown = [row for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < before
    assert all("loss" in row.inner_text().lower() for row in shown)


def test_without_scripts_the_same_is_there_to_read(opened: Any) -> None:
    with_scripts, without = opened(), opened(java_script_enabled=False)
    assert without.locator(".filter").count() == without.locator("th button").count() == 0
    assert without.locator("table tbody tr").count() == with_scripts.locator("table tbody tr").count()
    assert without.locator("details > summary").first.is_visible()


def test_a_phone_shows_whole_captions_and_scrolls_tables_alone(opened: Any) -> None:
    page = opened(viewport=PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for caption in page.locator("caption span").all():
        box = caption.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


def test_dark_figures_are_dark(opened: Any) -> None:
    page = opened(color_scheme="dark")
    colours = page.evaluate(
        "[...document.querySelectorAll('.paper svg')].map(svg => getComputedStyle(svg.querySelector('path')).fill)"
    )
    assert len(colours) > 5
    assert set(colours) == {page.evaluate("getComputedStyle(document.body).backgroundColor")}


def test_it_prints_to_few_pages(opened: Any) -> None:
    pdf = opened().pdf(format="A4", margin=MARGIN)
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14


def test_the_cards_fit_the_first_screen_of_a_laptop(opened: Any) -> None:
    page = opened(viewport={"width": 1180, "height": 760})
    cards = [card.bounding_box() for card in page.query_selector_all(".card")]
    assert len(cards) >= 4
    assert max(card["y"] + card["height"] for card in cards) <= 760


def test_sentences_that_are_folded_on_the_screen_stand_on_paper(opened: Any) -> None:
    page = opened()
    sentences = page.query_selector_all("details.words p")
    assert len(sentences) >= 5
    assert not any(sentence.is_visible() for sentence in sentences)
    page.click("details.words summary")
    assert sentences[0].is_visible()
    page.click("details.words summary")
    page.emulate_media(media="print")
    assert all(sentence.is_visible() for sentence in sentences)

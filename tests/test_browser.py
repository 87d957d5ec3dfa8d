"""Reports in a browser: headless Chromium, where the system has one."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from isthmus import Autoencoder, DenoisingAutoencoder, compare, datasets, report

SCRIPT = "<script>document.title = 'run'</script>"
QUICK = {"max_epochs": 3, "random_state": 0}
WIDTHS = (360, 768, 1280)
# Text that is too faint against what lies behind it, by the contrast ratio of WCAG 2.2.
FAINT = """() => {
  const number = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = number(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !parent.checkVisibility()) continue;
    if (parent.closest("script, style, svg")) continue;
    const [a, b] = [light(number(getComputedStyle(parent).color)), light(behind(parent))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([texts.currentNode.textContent.trim(), ratio]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write pages of pictures, of a table with hostile names, of series, and of two models."""
    folder = tmp_path_factory.mktemp("pages")
    digits = datasets.digits()
    X, y = digits.images[:400], digits.labels[:400]
    model = DenoisingAutoencoder(8, hidden=(32,), corruption="gaussian(std=0.3)", **QUICK).fit(X)
    report(model, X, y, path=folder / "pictures.html")
    names = [SCRIPT, "", "السعر", "🌊" * 30, "a" * 200, "<b>bold</b>"]
    rows = np.random.default_rng(0).normal(size=(120, 6)) @ np.diag([1, 2, 3, 1, 2, 3])
    table = pd.DataFrame(rows, columns=names)
    model = Autoencoder(2, **QUICK).fit(table)
    labels = np.where(rows[:, 0] > 0, SCRIPT, "")
    report(model, table, labels, path=folder / "table.html")
    series = np.sin(np.arange(24)[:, None] / 3 + np.random.default_rng(0).normal(size=(90, 1, 2)))
    model = Autoencoder(2, network="recurrent(hidden=(8,))", **QUICK).fit(series)
    report(model, series, path=folder / "series.html")
    both = {SCRIPT: Autoencoder(2, **QUICK).fit(X), "wide": Autoencoder(8, **QUICK).fit(X)}
    compare(both, X, y, path=folder / "compare.html")
    return folder


NAMES = ("pictures", "table", "series", "compare")


@pytest.fixture
def show(browser, pages):
    """Open a page; what it asks of others, and what its console says, are lists of it."""
    contexts = []

    def opened(name, **how):
        context = browser.new_context(**how)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", NAMES)
def test_page_asks_no_other_host_and_its_console_is_silent(name, show):
    page = show(name)
    page.mouse.wheel(0, 100_000)
    assert [url for url in page.asked if not re.match("(file|data|blob):", url)] == []
    assert page.said == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_page_fits_a_phone_a_tablet_and_a_screen(name, width, show):
    page = show(name, viewport={"width": width, "height": 800})
    for details in page.locator("details").all():
        details.evaluate("each => each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_text_stands_out_by_day_and_by_night(name, scheme, show):
    page = show(name, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = max(map(int, re.findall(r"\d+", ground)[:3]))
    assert light > 200 if scheme == "light" else light < 60
    assert page.evaluate(FAINT) == []


def test_hostile_names_do_not_run(show):
    page = show("table")
    page.locator(".dots").press("ArrowRight")
    assert page.title() != "run"
    assert SCRIPT in page.locator(".told").inner_text()
    assert show("compare").title() != "run"


def test_pointing_at_a_dot_shows_its_row_and_picture(show):
    page = show("pictures")
    told = page.locator(".told")
    assert "Point at a dot" in told.inner_text()
    dot = page.locator(".dots circle").nth(7)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    first = told.locator("strong").inner_text()
    assert re.fullmatch(r"Row \d+", first)
    assert told.locator("canvas").count() == 3  # noisy, cleaned, true
    drawn = (
        "each => new Set(each.getContext('2d').getImageData(0, 0, each.width, each.height).data)"
    )
    assert told.locator("canvas").first.evaluate(f"each => ({drawn})(each).size") > 5


def test_arrow_keys_go_from_row_to_row(show):
    page = show("pictures")
    dots, told = page.locator(".dots"), page.locator(".told strong")
    dots.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(told.inner_text())
    assert seen[0] == seen[2] != seen[1]


def test_tabulator_reaches_the_map_and_its_colours(show):
    page = show("pictures")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.className.baseVal ?? "
                "document.activeElement.dataset.by ?? ''"
            )
        )
    assert {"dots", "label", "error"} <= reached


def test_buttons_colour_the_map_by_error(show):
    page = show("pictures")
    fill = "getComputedStyle(document.querySelector('.dots circle')).fill"
    before = page.evaluate(fill)
    page.locator(".choice button").nth(1).press("Enter")
    assert page.locator(".map").get_attribute("data-by") == "error"
    assert page.locator(".choice button").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate(fill) != before


def test_page_prints_on_paper(show):
    page = show("pictures", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="light")
    assert len(page.pdf()) > 10_000

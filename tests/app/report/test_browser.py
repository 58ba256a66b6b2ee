"""The page in a browser: on a phone, in the dark, by keyboard, to a screen reader, on paper."""

import base64
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from art_snn.app.evaluation.page import render_page
from art_snn.app.evaluation.record import ReportItem
from art_snn.app.report.board import render_board_page
from tests.app.report.test_board import board, certified, network
from tests.evaluations import RISES, frames, images, large, provenance, small

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
WHOLE = find_spec("selenium") and BROWSER and shutil.which("chromedriver")
MISSING = f"selenium, chromedriver or every one of {', '.join(BROWSERS)} is not installed"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not WHOLE, reason=MISSING)]


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A browser that keeps what its console says."""
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = BROWSER or ""
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield found
    found.quit()


def visit(driver: Any, file: Path, width: int, scheme: str = "light") -> None:
    """Open the file in a window of that width, all that can be unfolded unfolded."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    driver.get(file.as_uri())
    driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")


ITEMS = [
    ReportItem("a", large(40), frames(2)),
    ReportItem("b", small(findings=(RISES,)), images(3)),
]
BEYOND = """
return [...document.querySelectorAll('h1, h2, h3, h4, p, li, dd, figcaption, summary')]
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.textContent.slice(0, 60));
"""
CLIPPED = """
return [...document.querySelectorAll('.scroll')]
  .filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent.slice(0, 60));
"""
BROKEN = """
return [...document.querySelectorAll('.share')]
  .filter(one => one.getClientRects().length > 1).map(one => one.textContent);
"""
COLUMN = """
const [table, place] = [document.querySelector('table'), arguments[0]];
return [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
"""
SORTED = """
return [...document.querySelectorAll('th[aria-sort]')]
  .map(one => [one.textContent, one.getAttribute('aria-sort')]);
"""
NONE = "\u2013"
FOCUSED = "const one = document.activeElement; return [one.tagName, one.getAttribute('href')];"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(ITEMS), encoding="utf-8")
    return path


def ask_axe(driver, options: str = "{}") -> Any:
    """What axe says of the page: what passes, and what violates accessibility."""
    axe = files(pytest.importorskip("selenium_axe_python")) / "axe-core" / "axe.min.js"
    driver.execute_script(axe.read_text(encoding="utf-8"))
    return driver.execute_async_script(f"axe.run({options}).then(arguments[0])")


def test_the_console_says_nothing_and_nothing_is_loaded(driver, file):
    visit(driver, file, 1200)
    assert driver.get_log("browser") == []
    names = "return performance.getEntriesByType('resource').map(one => one.name)"
    assert all(name.startswith("data:") for name in driver.execute_script(names))


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_the_page_never_scrolls_sideways_and_nothing_is_cut_off(driver, file, width):
    visit(driver, file, width)
    root = "document.documentElement"
    inner, outer = driver.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    assert outer == width or width - outer < 20
    assert inner <= outer
    assert driver.execute_script(BEYOND) == []
    assert driver.execute_script(BROKEN) == []
    assert width < 1280 or driver.execute_script(CLIPPED) == []


def test_axe_has_no_complaint_in_the_light_and_about_no_colour_in_the_dark(driver, file):
    for scheme, options in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
        visit(driver, file, 1280, scheme)
        result = ask_axe(driver, options)
        assert result["passes"]
        nodes = {one["id"]: [n["html"] for n in one["nodes"]] for one in result["violations"]}
        assert nodes == {}


def test_a_click_copies_the_command(driver, file):
    visit(driver, file, 1280)
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": permissions})
    button = driver.find_element("css selector", ".command button")
    assert button.text == "Copy the command"
    button.click()
    copied = "navigator.clipboard.readText().then(arguments[0])"
    assert driver.execute_async_script(copied) == provenance().command
    assert button.text == "Copied"


def test_the_keyboard_reaches_the_skip_link_first_and_what_can_be_moved(driver, file):
    from selenium.webdriver import ActionChains, Keys

    visit(driver, file, 360)
    ActionChains(driver).send_keys(Keys.TAB).perform()
    assert driver.execute_script(FOCUSED) == ["A", "#main"]
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    assert driver.execute_script("return document.activeElement.id") == "main"
    noting = "addEventListener('focusin', one => kinds.push(one.target.className))"
    driver.execute_script(f"window.kinds = []; {noting}")
    ActionChains(driver).send_keys(60 * Keys.TAB).perform()
    assert "scroll" in driver.execute_script("return kinds")


def test_on_paper_there_is_no_navigation_and_tables_are_not_cut_off(driver, file):
    visit(driver, file, 700)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert driver.execute_script(shown, "nav", "display") == "none"
    assert driver.execute_script(shown, ".scroll", "overflowX") == "visible"
    assert driver.execute_script(BROKEN) == []
    data = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert len(data) > 10_000


def test_one_result_is_one_printed_page(driver, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render_page([ITEMS[0]]), encoding="utf-8")
    visit(driver, file, 1280)
    data = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert len(re.findall(rb"/Type /Page\b", data)) == 1


@pytest.fixture(scope="module")
def sortable(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    table = board(
        network((0, 0, -1, -1), "b", steps=9),
        network((0, -1, -1, -1), "a", steps=12, training="a long " * 8 + "training"),
        certified(network((0, 0, 0, -1), "c", steps=None), -1, -1, -1, 1),
        network((0, -1), "d", eps=0.1, dataset="mnist"),
    )
    path.write_text(render_board_page(table), "utf-8")
    return path


# Rows of fewer than 100 samples say their number.
NAMES = ["a (n = 4)", "b (n = 4)", "c (n = 4)", "d (n = 2)"]


def test_a_click_sorts_and_another_turns_the_order_around(driver, sortable):
    visit(driver, sortable, 1200)
    assert driver.execute_script(COLUMN, 0) == NAMES
    heads = driver.find_elements("css selector", "thead th")
    place = [one.text.split()[0] for one in heads].index("T")
    button = driver.find_elements("css selector", "thead button")[place]
    button.click()
    # As numbers, and what is not known last either way.
    assert driver.execute_script(COLUMN, place) == ["12", "9", "8", NONE]
    assert driver.execute_script(SORTED) == [["T", "descending"]]
    button.click()
    assert driver.execute_script(COLUMN, place) == ["8", "9", "12", NONE]
    assert driver.execute_script(SORTED) == [["T", "ascending"]]
    assert driver.get_log("browser") == []


def test_filters_leave_rows_of_the_data_and_of_the_budget(driver, sortable):
    from selenium.webdriver.support.ui import Select

    visit(driver, sortable, 1200)
    data, budget = map(Select, driver.find_elements("css selector", ".filters select"))
    assert [one.text for one in budget.options] == ["all", "eps 8/255", "eps 0.1"]
    shown = "return [...document.querySelectorAll('tbody tr:not([hidden]) th')]"
    shown += ".map(one => one.textContent)"
    budget.select_by_visible_text("eps 0.1")
    assert driver.execute_script(shown) == NAMES[3:]
    assert driver.find_element("id", "records").text == "1 of 4 records."
    data.select_by_visible_text("mnist")
    budget.select_by_visible_text("all")
    assert driver.execute_script(shown) == NAMES[3:]
    data.select_by_visible_text("all")
    assert driver.execute_script(shown) == NAMES


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_nothing_leaves_the_window_and_axe_finds_nothing(driver, sortable, width, scheme):
    visit(driver, sortable, width, scheme)
    assert driver.execute_script(BEYOND) == []
    assert width < 1280 or driver.execute_script(CLIPPED) == []
    room = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert driver.execute_script(room)
    assert [one["id"] for one in ask_axe(driver)["violations"]] == []

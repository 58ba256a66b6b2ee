"""The page in a browser: tables are sorted by mouse and keyboard, and a reader hears how."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from art_snn.app.leaderboard.cells import NONE

from tests.app.leaderboard.boards import board, certified, network
from tests.browser import browsing, lacking, visit

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "there is a browser")

COLUMN = """
const [table, place] = [document.querySelector('table'), arguments[0]];
return [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
"""
SORTED = """
return [...document.querySelectorAll('th[aria-sort]')]
  .map(one => [one.textContent, one.getAttribute('aria-sort')]);
"""
BEYOND = """
return [...document.querySelectorAll('h1, h2, p, li')]
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.textContent.slice(0, 60));
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browsing() as opened_browser:
        yield opened_browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    table = board(
        network((0, 0, -1, -1), "b", parameters=9),
        network((0, -1, -1, -1), "a", parameters=1000, training="a long " * 8 + "training"),
        certified(network((0, 0, 0, -1), "c", parameters=None), -1, -1, -1, 1),
    )
    path.write_text(table.render_page(), "utf-8")
    return path


def titles(driver) -> list[str]:
    return [one.text.split()[0] for one in driver.find_elements("css selector", "thead th")]


def test_a_click_sorts_and_another_turns_the_order_around(driver, file):
    visit(driver, file, 1200)
    assert driver.execute_script(COLUMN, 0) == ["a", "b", "c"]
    place = titles(driver).index("parameters")
    button = driver.find_elements("css selector", "thead button")[place]
    button.click()
    # As numbers, and what is not known last either way.
    assert driver.execute_script(COLUMN, place) == ["1,000", "9", NONE]
    assert driver.execute_script(SORTED) == [["parameters", "descending"]]
    button.click()
    assert driver.execute_script(COLUMN, place) == ["9", "1,000", NONE]
    assert driver.execute_script(SORTED) == [["parameters", "ascending"]]
    assert driver.get_log("browser") == []


def test_the_keyboard_sorts_as_well(driver, file):
    from selenium.webdriver.common.keys import Keys

    visit(driver, file, 1200)
    button = driver.find_elements("css selector", "thead button")[0]
    driver.execute_script("arguments[0].focus()", button)
    assert driver.switch_to.active_element == button
    button.send_keys(Keys.ENTER)
    assert driver.execute_script(SORTED) == [["network", "ascending"]]
    button.send_keys(Keys.SPACE)
    assert driver.execute_script(COLUMN, 0) == ["c", "b", "a"]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1400, "dark")])
def test_nothing_leaves_the_window_and_no_rule_of_accessibility_is_broken(
    driver, file, width, scheme
):
    visit(driver, file, width, scheme)
    assert driver.execute_script(BEYOND) == []
    room = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert driver.execute_script(room)
    axe = files(pytest.importorskip("selenium_axe_python")) / "axe-core" / "axe.min.js"
    driver.execute_script(axe.read_text(encoding="utf-8"))
    result = driver.execute_async_script("axe.run().then(arguments[0])")
    assert [one["id"] for one in result["violations"]] == []

"""The page in a headless Chromium: it opens without errors and without a network, and its controls work."""

import json
import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np
import phantoms
import pytest
from results_on_disk import BEST, SHAPE
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from written_reports import Written

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900")
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    options = Options()
    options.binary_location = chromium
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, written: Written) -> webdriver.Chrome:
    """Freshly opened, the first case drawn."""
    browser.get(written.page.as_uri())
    wait_for(lambda: dvh_names(browser))
    return browser


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "the page does not react"
        time.sleep(0.05)


def dvh_names(page: webdriver.Chrome) -> list[str]:
    return page.execute_script("return (document.getElementById('dvh').data || []).map((trace) => trace.name)")


def heatmap(page: webdriver.Chrome, number: int) -> np.ndarray:
    """Values of the viewer's number-th picture, NaN where it is transparent."""
    rows = page.execute_script(
        "return document.getElementById('viewer').data[arguments[0]].z.map((row) => Array.from(row, "
        "(value) => Number.isNaN(value) ? null : value))",
        number,
    )
    return np.array(rows, float)


def viewer_trace_types(page: webdriver.Chrome) -> list[str]:
    return page.execute_script("return document.getElementById('viewer').data.map((trace) => trace.type)")


def is_shown(page: webdriver.Chrome, selector: str) -> list[bool]:
    return [one.is_displayed() for one in page.find_elements(By.CSS_SELECTOR, selector)]


def test_it_opens_without_errors_and_asks_for_nothing_outside(page: webdriver.Chrome, written: Written) -> None:
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert written.page.as_uri() in asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert [url for url in asked if url.startswith("file:")] == [written.page.as_uri()]


@pytest.mark.parametrize("width", [1200, 500])
def test_nothing_is_wider_than_the_window(browser: webdriver.Chrome, written: Written, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get(written.page.as_uri())
        wait_for(lambda: dvh_names(browser))
        assert browser.execute_script("return window.innerWidth") == width
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        # nothing is cut off: what is wider scrolls inside itself
        wide = browser.execute_script(
            "return Array.from(document.querySelectorAll('table, select, fieldset, figure, h1, p'), (one) => one)"
            ".filter((one) => one.getBoundingClientRect().right > arguments[0] && !one.closest('.scroll'))"
            ".map((one) => one.outerHTML.slice(0, 80))",
            width,
        )
        assert wide == []
        scrolling = browser.execute_script(
            "return Array.from(document.querySelectorAll('.scroll'), (one) => one.scrollWidth > one.clientWidth)"
        )
        assert any(scrolling) == (width == 500)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_all_charts_are_drawn(page: webdriver.Chrome) -> None:
    for chart in ("impact", "curves", "dvh", "viewer"):
        assert page.find_elements(By.CSS_SELECTOR, f"#{chart} .main-svg"), chart


def test_the_slider_moves_the_slice_also_by_keyboard(page: webdriver.Chrome) -> None:
    slider = page.find_element(By.ID, "slice")
    at, text = int(slider.get_property("value")), page.find_element(By.ID, "slice-text").text
    dose = heatmap(page, 3)
    slider.send_keys(Keys.ARROW_LEFT)
    wait_for(lambda: page.find_element(By.ID, "slice-text").text != text)
    assert int(slider.get_property("value")) == at - 1
    assert slider.get_attribute("aria-valuetext") == page.find_element(By.ID, "slice-text").text
    wait_for(lambda: not np.array_equal(heatmap(page, 3), dose, equal_nan=True))


def test_the_viewer_shows_the_doses_that_lie_on_disk(page: webdriver.Chrome) -> None:
    """P0, the baseline: behind the three images, reference, evaluated, and their difference, to half a step."""
    z = int(page.find_element(By.ID, "slice-text").text.split()[1].rstrip(","))
    mask = phantoms.target(0, SHAPE)
    reference = phantoms.dose_for(mask)[z]
    shown = heatmap(page, 3)
    there = np.isfinite(shown)
    assert there.sum() == np.count_nonzero(reference >= 3.0)
    # the view is cropped to the body, so compare sorted
    np.testing.assert_allclose(np.sort(shown[there]), np.sort(reference[reference >= 3.0]), atol=66 / 255 / 2 + 1e-3)
    difference = heatmap(page, 5)
    assert np.nanmax(difference) <= 0  # slices that were not drawn lose dose


def test_layers_can_be_switched_off(page: webdriver.Chrome) -> None:
    slider = page.find_element(By.ID, "slice")
    slider.send_keys(Keys.HOME)
    slider.send_keys(Keys.ARROW_RIGHT * 3)  # through the targets of both
    wait_for(lambda: "contour" in viewer_trace_types(page))
    assert viewer_trace_types(page).count("heatmap") == 6
    page.find_element(By.ID, "show-dose").send_keys(Keys.SPACE)
    wait_for(lambda: viewer_trace_types(page).count("heatmap") == 3)
    page.find_element(By.ID, "show-contours").send_keys(Keys.SPACE)
    wait_for(lambda: "contour" not in viewer_trace_types(page))
    grey = heatmap(page, 0)
    Select(page.find_element(By.ID, "background")).select_by_visible_text("CT")
    wait_for(lambda: not np.array_equal(heatmap(page, 0), grey))


def test_structures_case_and_trainer_are_chosen_for_the_dvh(page: webdriver.Chrome) -> None:
    assert dvh_names(page)[:2] == ["GTV, reference", "GTV, evaluated"]
    page.find_element(By.CSS_SELECTOR, "input.structure").send_keys(Keys.SPACE)
    wait_for(lambda: "GTV, reference" not in dvh_names(page))
    page.find_element(By.ID, "targets-only").send_keys(Keys.ENTER)
    wait_for(lambda: dvh_names(page) == ["GTV, reference", "GTV, evaluated"])
    baseline = evaluated_volumes(page)
    Select(page.find_element(By.ID, "trainer")).select_by_value(BEST)
    wait_for(lambda: evaluated_volumes(page) != baseline)
    image = heatmap(page, 0)
    Select(page.find_element(By.ID, "case")).select_by_visible_text("P1")
    wait_for(lambda: not np.array_equal(heatmap(page, 0), image))


def evaluated_volumes(page: webdriver.Chrome) -> list[float]:
    return page.execute_script("return Array.from(document.getElementById('dvh').data[1].y)")


def test_the_first_tab_skips_to_the_results_and_every_control_has_a_name(page: webdriver.Chrome) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the results"
    controls = page.find_elements(By.CSS_SELECTOR, "select, input, button")
    assert len(controls) > 8
    assert [one.get_attribute("outerHTML") for one in controls if not one.accessible_name] == []


def test_print_shows_pictures_instead(page: webdriver.Chrome) -> None:
    assert not any(is_shown(page, ".static"))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not any(is_shown(page, ".interactive"))
        # bars, curves, and the DVHs of three cases
        assert is_shown(page, "img.static") == [True, True]
        assert is_shown(page, "div.static img") == [True] * 6
        assert is_shown(page, "img.panel") == [True] * 3
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

"""The page in a real browser: Chromium of Debian (tested with 156) through Selenium."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_documents import HOSTILE, nine, write_sweep

from effnet_lite.benchmark.report import report

pytest.importorskip("plotly")
webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402 (once it is known to be there)

WIDTHS = (400, 1400)
# Of a drawn plot, in Plotly's own classes: lines and points, boxes, bars, heat maps.
MARKS = ".scatterlayer .trace, .boxlayer .trace, .barlayer .trace, .heatmaplayer .hm"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium.common.exceptions import WebDriverException

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    arguments = ["--headless=new", "--disable-dev-shm-usage", "--disable-gpu"]
    # Chromium's sandbox refuses to start for root, as in a container.
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(executable_path=programs[1])
        )
    except WebDriverException as error:
        pytest.skip(f"the browser does not start: {error.msg}")
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of nine candidates with all sections, and the same with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    plain = nine(classes=12)
    plain.append({"kind": "failure", "step": "convert", "name": "x", "message": "no memory"})
    hostile = nine(classes=12, names=HOSTILE)
    for entry in hostile:
        entry["command"] = f"effnet-lite {HOSTILE[0]} {HOSTILE[4]}"
        if entry["kind"] == "benchmark":
            for record in entry["document"]["records"]:
                record |= {"device": HOSTILE[2], "noise": [HOSTILE[1]]}
    hostile.append({"kind": "failure", "step": "convert", "name": HOSTILE[0],
                    "message": HOSTILE[6]})  # fmt: skip
    found = {}
    for name, lines in (("plain", plain), ("hostile", hostile)):
        found[name] = folder / f"{name} 100% #1.html"
        report([write_sweep(folder / name, lines)], found[name], title=HOSTILE[0])
    return found


@pytest.fixture
def load(browser, pages):
    """``load(page, width)``: opened from its file, offline, with everything unfolded."""

    def do(name: str, width: int, dark: bool = False) -> Any:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
        )
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        browser.get("about:blank")
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(pages[name].as_uri())
        browser.execute_async_script(
            """
            const done = arguments[0];
            document.querySelectorAll("details").forEach(one => { one.open = true; });
            const marks = place => place.querySelectorAll(".main-svg").length;
            const started = Date.now();
            (function wait() {
              const all = Array.from(document.querySelectorAll(".plot"));
              if (all.every(marks) || Date.now() - started > 30000) {
                requestAnimationFrame(() => requestAnimationFrame(done));
              } else { setTimeout(wait, 50); }
            })();
            """
        )
        return browser

    return do


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["plain", "hostile"])
def test_the_page_draws_offline_fits_and_says_nothing_in_the_console(load, page, width):
    browser = load(page, width)
    drawn = browser.execute_script(
        "return Array.from(document.querySelectorAll('.plot')).map(place => "
        "[place.id, place.querySelectorAll(arguments[0]).length, place._fullData.length, "
        " place.getBoundingClientRect().width])",
        MARKS,
    )
    assert len(drawn) == 30
    for identifier, marks, traces, wide in drawn:
        assert marks >= traces >= 1, identifier
        assert wide > 300, identifier
    assert browser.get_log("browser") == []
    asked = [
        entry["params"]["request"]["url"]
        for entry in (json.loads(line["message"])["message"]
                      for line in browser.get_log("performance"))
        if entry["method"] == "Network.requestWillBeSent"
    ]  # fmt: skip
    # Plotly draws heat maps as pictures in data: addresses.
    assert [url for url in asked if not url.startswith("data:")] == [
        browser.execute_script("return location.href")
    ]
    # The page does not scroll sideways.
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Nothing outside of a frame of its own is wider than the page either.
    wide = browser.execute_script(
        "return Array.from(document.querySelectorAll('main *')).filter(one => "
        "!one.closest('.scroll, .frame') && one.getBoundingClientRect().right > innerWidth + 1)"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_hostile_names_are_text(load):
    from selenium.common.exceptions import NoAlertPresentException

    browser = load("hostile", 1400)
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert
    count = "return document.querySelectorAll(arguments[0]).length"
    assert browser.execute_script(count, "img, iframe, b, .plot a, main script:not([type])") == 0
    # In Plotly's own drawing, too: tags would have become tspans with a style.
    texts = browser.execute_script(
        "return Array.from(document.querySelectorAll('.plot text')).map(one => one.textContent)"
    )
    for part in ("<script>alert(1)</script>", "</script><img s", "<!-- <b>bold</b", "%{text}"):
        assert any(part in text for text in texts), part
    bold = "return Array.from(document.querySelectorAll('.plot tspan[style*=bold]')).length"
    assert browser.execute_script(bold) == 0
    assert browser.execute_script("return document.title") == HOSTILE[0]
    shown = browser.execute_async_script(
        """
        const done = arguments[0], place = document.getElementById("front-1");
        const trace = place._fullData.findIndex(one => one.name && one.name.startsWith("1 "));
        Plotly.Fx.hover(place, [{ curveNumber: trace, pointNumber: 0 }]);
        setTimeout(() => done(Array.from(
          place.querySelectorAll(".hoverlayer text")).map(one => one.textContent)), 300);
        """
    )
    assert any("1 <script>alert(1)</script>" in text for text in shown)


def test_tables_sort_by_click_and_by_key(load):
    from selenium.webdriver.common.keys import Keys

    browser = load("plain", 400)
    heads = browser.find_elements("css selector", "#candidates th")
    by_name = {head.text.rstrip(" ↕↑↓"): place for place, head in enumerate(heads)}
    column = next(place for name, place in by_name.items() if name.startswith("p50"))
    button = heads[column].find_element("css selector", "button")

    def values() -> list[float]:
        cells = browser.execute_script(
            "return Array.from(document.querySelectorAll('#candidates tbody tr')).map("
            "row => row.cells[arguments[0]].dataset.value)",
            column,
        )
        return [float(cell) for cell in cells]

    before = values()
    browser.execute_script("arguments[0].click()", button)
    assert values() == sorted(before) != before
    assert heads[column].get_attribute("aria-sort") == "ascending"
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert values() == sorted(before, reverse=True)
    assert heads[column].get_attribute("aria-sort") == "descending"
    first = heads[by_name["#"]].find_element("css selector", "button")
    browser.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.SPACE)
    assert values() == before
    assert heads[column].get_attribute("aria-sort") is None


def test_figures_follow_a_dark_page(load):
    script = (
        "return [getComputedStyle(document.body).backgroundColor, "
        "document.getElementById('front-1')._fullLayout.paper_bgcolor]"
    )
    browser = load("hostile", 1400, dark=True)
    assert browser.execute_script(script) == ["rgb(23, 25, 28)", "#17191c"]
    # A model that is called like a colour keeps its name.
    texts = browser.execute_script(
        "return Array.from(document.querySelectorAll('#front-1 .legendtext')).map("
        "one => one.textContent)"
    )
    assert "9 #1a1a1a" in texts
    # While it is printed, and where the reader turns the light on, the figures are dark on white.
    dispatch = "window.dispatchEvent(new Event(arguments[0])); " + script
    assert browser.execute_script(dispatch, "beforeprint")[1] == "#ffffff"
    assert browser.execute_script(dispatch, "afterprint")[1] == "#17191c"
    browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    # The page hears of it, and draws anew, when it comes to that.
    wanted = ["rgb(255, 255, 255)", "#ffffff"]
    WebDriverWait(browser, 30).until(lambda one: one.execute_script(script) == wanted)
    assert browser.get_log("browser") == []

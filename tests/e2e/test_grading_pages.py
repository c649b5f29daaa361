"""The pages of a class in a real browser: they work from a disk, and nothing that a submission wrote comes alive."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from autograder import editions
from autograder.classroom import report
from tests.grading_records import a_class, component, record

webdriver = pytest.importorskip("selenium.webdriver", reason="pip install -r requirements-dev.txt brings selenium")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --force-device-scale-factor=1""".split()

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """What ``report`` writes for a class of all kinds, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("results") / "a class #1"
    folder.mkdir()
    half = record(component("adamw"), component("rope", "pass", "fail"), slug="Zoe.a-b_c", student="Zoë O'Brien")
    report.write([*a_class(), half], editions.load("mmia"), folder)
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium) -> Iterator[webdriver.Chrome]:
    """The browser, as if it had just been started."""
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def pages(results: Path) -> list[Path]:
    return [results / "index.html", *sorted((results / "students").glob("*.html"))]


def resize(browser, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def requested(browser) -> list[str]:
    """Every address asked for since the last look, without those of the browser's own first page."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent if not each["documentURL"].startswith("chrome://")]


def texts(browser, selector: str) -> list[str]:
    return browser.execute_script(f"return [...document.querySelectorAll({selector!r})].map(e => e.textContent.trim())")


def test_no_page_asks_for_anything_complains_or_runs_what_a_submission_wrote(browser, results):
    browser.get_log("performance"), browser.get_log("browser")
    for page in pages(results):
        browser.get(page.as_uri())
        browser.execute_script("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert browser.execute_script("return [document.title.includes('owned'), window.owned]")[1] is None
        assert (
            browser.execute_script("return document.querySelectorAll('img, iframe, script:not(:last-child)').length")
            == 0
        )
    assert set(requested(browser)) == {page.as_uri() for page in pages(results)}
    assert browser.get_log("browser") == []


def test_the_policy_stops_what_would_slip_through(browser, results):
    browser.get((results / "index.html").as_uri())
    browser.execute_script(
        'const slipped = \'<img src=x onerror="window.owned=1"><b id=b style="color:red">\';'
        "document.body.insertAdjacentHTML('beforeend', slipped);"
        "const script = document.createElement('script'); script.textContent = 'window.owned = 1';"
        "document.body.append(script);"
    )
    assert browser.execute_script("return window.owned") is None
    assert browser.execute_script("return getComputedStyle(document.getElementById('b')).color") != "rgb(255, 0, 0)"
    assert {entry["source"] for entry in browser.get_log("browser")} == {"security"}


def test_hostile_text_is_shown_as_text(browser, results):
    browser.get((results / "students" / "mallory.html").as_uri())
    assert texts(browser, "h1")[0].startswith("</script><script>document.title='owned'")
    assert "{{ 7*7 }}" in texts(browser, ".printed pre")[0]


def test_every_link_leads_to_its_student(browser, results):
    browser.get((results / "index.html").as_uri())
    links = browser.execute_script("return [...document.links].map(link => [link.href, link.textContent])")
    assert len({href for href, _ in links}) == 7
    for href, name in dict(links).items():
        assert Path(unquote(urlsplit(href).path)).is_file()
        browser.get(href)
        assert texts(browser, "h1") == [name]


def test_every_link_inside_a_students_page_has_a_target(browser, results):
    browser.get((results / "students" / "bob.html").as_uri())
    assert (
        browser.execute_script(
            "return [...document.links].map(link => document.getElementById(link.hash.slice(1)) !== null)"
        )
        == [True] * 3
    )


def test_the_table_of_everyone_is_sorted_by_a_click(browser, results):
    browser.get((results / "index.html").as_uri())
    name, total = browser.find_elements("css selector", ".everyone thead button")[:2]
    shown = ".everyone tbody td.total"
    assert texts(browser, shown) == ["15", "20", "5", "5", "0", "–", "10"]
    total.click()
    assert texts(browser, shown) == ["0", "5", "5", "10", "15", "20", "–"]
    total.click()
    assert texts(browser, shown) == ["20", "15", "10", "5", "5", "0", "–"]
    headers = browser.find_elements("css selector", ".everyone thead th")
    assert [header.get_attribute("aria-sort") for header in headers[:2]] == [None, "descending"]
    name.send_keys("\n")
    assert texts(browser, ".everyone tbody th")[1:] == ["Ada", "Bob", "Cem", "Dan", "Eve", "Zoë O'Brien"]


def test_the_page_works_without_scripts(browser, results):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((results / "index.html").as_uri())
    headers = [header.text for header in browser.find_elements("css selector", ".everyone thead th")]
    assert headers[:4] == ["Student", "Total", "adamw", "rope"]
    mistake = browser.find_element("css selector", ".mistakes details")
    mistake.find_element("tag name", "summary").click()
    assert [link.text for link in mistake.find_elements("tag name", "a")] == ["Bob", "Cem"]


@pytest.mark.parametrize("width", [340, 768, 1280])
def test_no_page_is_wider_than_the_screen(browser, results, width):
    resize(browser, width)
    for page in (results / "index.html", results / "students" / "mallory.html", results / "students" / "bob.html"):
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def contrast(browser, selector: str) -> float:
    """WCAG's contrast of an element's text with what is behind it."""
    colours = browser.execute_script(
        "let e = document.querySelector(arguments[0]); const text = getComputedStyle(e).color;"
        "while (getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;"
        "return [text, getComputedStyle(e).backgroundColor]",
        selector,
    )
    parts = [[int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]] for colour in colours]
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour] for colour in parts]
    dark, light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, results, scheme):
    preference = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": preference})
    looked_at = {
        "index.html": ["body", ".soft", "a", ".everyone td.ok", ".everyone td.part", ".everyone td.none"],
        "students/bob.html": ["body", ".course", ".pill.ok", ".pill.none", ".pill.part", ".match", ".worth"],
        "students/cem.html": [".pill.todo"],
    }
    for page, selectors in looked_at.items():
        browser.get((results / page).as_uri())
        assert {selector: contrast(browser, selector) >= 4.5 for selector in selectors} == dict.fromkeys(
            selectors, True
        )
    assert contrast(browser, "body") > 10


def test_print_shows_what_is_folded_away(browser, results):
    browser.get((results / "students" / "bob.html").as_uri())
    shown = "return document.querySelector('#rope .question').checkVisibility()"
    browser.execute_script("document.getElementById('rope').open = false")
    assert not browser.execute_script(shown)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert browser.execute_script(shown)
    assert browser.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBER")  # %PDF in base64

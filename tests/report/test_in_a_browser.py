"""The page in a real Chromium: it moves, stays quiet, fetches nothing, and shows a hostile name as text."""

from pathlib import Path

import pytest

from distillset.report import report
from tests.report.browser import Browser
from tests.report.conftest import HOSTILE

LEFT, END, TAB, SPACE = (37, 35, 9, 32)


@pytest.fixture
def page(run: Path, tmp_path: Path, chromium: Browser) -> Browser:
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open(report([run], tmp_path / "page.html"))
    return chromium


def strips(page: Browser) -> list[str]:
    found: list[str] = page.value("[...document.querySelectorAll('#images img')].map((image) => image.src)")
    return found


def test_keys_move_the_slider_and_the_images(page: Browser) -> None:
    last = strips(page)
    assert page.value("document.getElementById('time').value") == "4"
    page.value("document.getElementById('time').focus()")
    page.press("ArrowLeft", LEFT)
    assert page.value("document.getElementById('time').value") == "3"
    assert page.value("document.getElementById('time').getAttribute('aria-valuetext')") == "step 3 of 4"
    assert page.value("document.getElementById('step').textContent").strip() == "step 3 of 4"
    assert all(now != before for now, before in zip(strips(page), last, strict=True))
    assert page.value("document.querySelector('#images img').alt") == "first, class cat, 2 images, step 3"
    page.press("End", END)
    assert strips(page) == last
    decoded = (
        "Promise.all([...document.querySelectorAll('#images img')].map((image) => image.decode())).then(() => true)"
    )
    assert page.value(decoded) is True
    assert (
        page.value("[...document.querySelectorAll('#images img')].map((i) => [i.naturalWidth, i.naturalHeight])")
        == [[16, 8]] * 3
    )
    assert page.errors == []


def test_play_goes_through_the_snapshots(page: Browser) -> None:
    """Every one, in order and once, then it stops: recorded in the page, so that a slow machine changes nothing."""
    page.value("""(() => {
        window.seen = [];
        const record = () => seen.push(document.getElementById('time').value);
        const all = {characterData: true, childList: true, subtree: true};
        new MutationObserver(record).observe(document.getElementById('step'), all);
        document.getElementById('play').focus();
    })()""")
    page.press(" ", SPACE)
    assert page.value("document.getElementById('play').getAttribute('aria-pressed')") == "true"
    stopped = """new Promise((done) => { const timer = setInterval(() => {
        if (document.getElementById('play').textContent === 'Play') { clearInterval(timer); done(seen); }
    }, 20); })"""
    assert page.value(stopped) == ["0", "1", "2", "3", "4"]
    assert page.errors == []


def test_a_hostile_class_name_stays_text(page: Browser) -> None:
    names = page.value("[...document.querySelectorAll('#images h3')].map((title) => title.textContent)")
    assert names == ["cat", HOSTILE, 'dog & "co" \'n']
    assert page.value("window.broken === undefined")
    assert page.value("document.querySelectorAll('script').length") == 2
    assert page.value("document.querySelectorAll('#images img').length") == 3
    assert HOSTILE in page.value("document.querySelectorAll('#images img')[1].alt")
    assert page.errors == []


def test_nothing_is_fetched_and_no_other_script_may_run(page: Browser) -> None:
    assert [url for url in page.requests if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1
    page.value(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.late = 1'}))"
    )
    assert page.value("window.late === undefined")
    assert any("Content Security Policy" in error for error in page.errors)


def test_light_and_dark(page: Browser) -> None:
    def lightness() -> float:
        colour: str = page.value("getComputedStyle(document.body).backgroundColor")
        return sum(map(float, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3

    page.media(prefers_color_scheme="dark")
    assert lightness() < 60
    page.value("document.getElementById('theme').click()")
    assert page.value("document.getElementById('theme').textContent") == "Theme: light"
    assert lightness() > 200
    page.value("document.getElementById('theme').click()")
    page.media(prefers_color_scheme="light")
    assert lightness() < 60
    assert page.errors == []


def test_everything_to_use_has_a_name_and_is_reached_by_tab(page: Browser) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]}
    assert {("slider", "Snapshot"), ("slider", "Size"), ("button", "Play"), ("heading", "Synthetic images")} <= named
    nameless = [role for role, name in named if role in ("slider", "button", "image", "link", "region") and not name]
    assert nameless == []
    reached = []
    for _ in range(16):
        page.press("Tab", TAB)
        reached.append(page.value("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached[0] == "Skip to the images"
    assert {"theme", "play", "time", "size"} <= set(reached)


def test_a_curve_is_read_off_under_the_pointer(page: Browser) -> None:
    script = """(() => {
        const svg = document.querySelector('figure[data-chart="accuracy"] svg');
        const box = svg.getBoundingClientRect();
        const at = {clientX: box.right - 20, clientY: box.top + 50, bubbles: true};
        svg.dispatchEvent(new PointerEvent('pointermove', at));
        return document.querySelector('figure[data-chart="accuracy"] .read').textContent;
    })()"""
    assert page.value(script) == "first: 50.0% at step 4"
    assert page.errors == []


def test_runs_side_by_side_move_together(run: Path, other: Path, tmp_path: Path, chromium: Browser) -> None:
    chromium.errors.clear()
    chromium.open(report([run, other], tmp_path / "page.html"))
    chromium.value("document.getElementById('time').focus()")
    for _ in range(4):
        chromium.press("ArrowLeft", LEFT)
    told = chromium.value("[...document.getElementById('step').children].map((part) => part.textContent)")
    assert told == ["step 0 of 4", "step 0 of 2"]
    assert chromium.errors == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_runs_out_of_the_window(run: Path, other: Path, tmp_path: Path, chromium: Browser, width: int) -> None:
    chromium.size(width, 800)
    try:
        chromium.open(report([run, other], tmp_path / "page.html"))
        assert chromium.value("document.documentElement.scrollWidth") <= width
    finally:
        chromium.call("Emulation.clearDeviceMetricsOverride")

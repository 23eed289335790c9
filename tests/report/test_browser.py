"""The page in a browser: Chromium, driven headless. Skipped where there is none (Debian: ``apt
install chromium-driver``)."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from report_cases import make_comparison, write_run

from dmaskrcnn.demo import write_scenes
from dmaskrcnn.report import write_report

PHONE, DESKTOP = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison that has everything."""
    folder = tmp_path_factory.mktemp("report")
    fog = {"size": (64, 96), "visibility": (60.0, 150.0)}
    source = write_scenes(folder / "source", 10, seed=11, size=(64, 96))
    target = write_scenes(folder / "target", 10, seed=12, labelled=False, **fog)
    test = write_scenes(folder / "test", 6, seed=13, **fog)
    runs = [
        write_run(folder / "baseline-1", source, None),
        write_run(folder / "grl-1", source, target, 1, **{"alignment/domain": 0.7}),
    ]
    groups = [("baseline", (runs[0],)), ("a rather long name of a method", (runs[1],))]
    return write_report(folder, runs, make_comparison(folder / "out", test, groups, published=True))


@pytest.fixture
def visit(browser: Any, written: Path) -> Callable[..., Any]:
    """Opens the page, or another one, at a size and in a theme."""

    def open_page(
        size: tuple[int, int] = DESKTOP, theme: str = "light", page: Path = written
    ) -> Any:
        metrics = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size == PHONE,
        }
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(page.resolve().as_uri())
        return browser

    return open_page


def run(page: Any, code: str) -> Any:
    """The value of an expression; ``$`` finds one element and ``$$`` all."""
    tools = (
        "const $ = (s) => document.querySelector(s), $$ = (s) => [...document.querySelectorAll(s)];"
    )
    return page.execute_script(f"{tools} return ({code});")


def choose(page: Any, control: str, value: str) -> None:
    """As a person does: the value, and the event that follows."""
    run(
        page,
        f"($('#{control}').value = '{value}', $('#{control}').dispatchEvent(new "
        f"Event('input', {{bubbles: true}})))",
    )


def visible(page: Any) -> int:
    return run(page, "$$('#grid .object').length")


def test_nothing_is_fetched_and_nothing_fails(visit: Callable[..., Any]):
    page = visit()
    choose(page, "threshold", "0.05")
    run(page, "$('#grid .panel:last-child').click()")
    assert page.get_log("browser") == []  # no error, no warning, nothing blocked
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert urls  # the log works: it has the page itself
    assert {url.split(":")[0] for url in urls} <= {"file", "data"}
    assert len([url for url in urls if url.startswith("file")]) == 1
    assert (
        run(
            page,
            "performance.getEntriesByType('resource').filter((e) => "
            "!e.name.startsWith('data:')).length",
        )
        == 0
    )


def test_fetching_is_forbidden(visit: Callable[..., Any]):
    """A request that the page is made to send does not reach a server."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        page = visit()
        page.set_script_timeout(20)
        code = """const done = arguments[1], image = new Image();
            image.onload = () => done('image loaded');
            image.onerror = () => fetch(arguments[0] + 'fetch')
                .then(() => done('fetched'), () => done('blocked'));
            image.src = arguments[0] + 'image';"""
        assert page.execute_async_script(code, url) == "blocked"
        server.shutdown()
        thread.join()
    assert asked == []


def test_threshold_moves_the_number_of_objects(visit: Callable[..., Any]):
    page = visit()
    counts = []
    for threshold in ("0.05", "0.5", "0.75", "0.95"):
        choose(page, "threshold", threshold)
        counts.append(visible(page))
        assert run(page, "$('#score').value") == f"{float(threshold):.2f}"
        shown = run(
            page, "$$('#grid .caption span:last-child').map((e) => parseInt(e.textContent) || 0)"
        )
        assert sum(shown) == counts[-1]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[3]


def test_dehazing_changes_pictures_and_objects(visit: Callable[..., Any]):
    page = visit()
    choose(page, "threshold", "0.05")
    assert run(page, "$('#dehaze').value") == "mscnn"  # what makes a difference is shown first
    panels = "$$('#grid .row:first-child img').map((e) => e.src)"
    titles = "$$('#grid .row:first-child .caption span:first-child').map((e) => e.textContent)"
    before, objects = run(page, panels), run(page, "$('#grid').innerHTML.length")
    assert run(page, titles) == [
        "input",
        "dehazed: MSCNN",
        "baseline",
        "a rather long name of a method",
    ]
    assert before[0] != before[1] == before[2] == before[3]
    choose(page, "dehaze", "none")
    after = run(page, panels)
    assert after == [before[0]] * 4
    assert run(page, titles)[1] == "not dehazed"
    assert run(page, "$('#grid').innerHTML.length") != objects
    assert run(page, "$$('#grid img').every((e) => e.complete && e.naturalWidth === 96)")


def test_another_run(visit: Callable[..., Any]):
    page = visit()
    assert run(page, "[$('#left').value, $('#right').value]") == ["0", "1"]
    choose(page, "right", "0")
    titles = run(
        page, "$$('#grid .row:first-child .caption span:first-child').map((e) => e.textContent)"
    )
    assert titles[2:] == ["baseline", "baseline"]


def test_true_objects(visit: Callable[..., Any]):
    page = visit()
    assert run(page, "$$('.truth').length") == 0
    run(page, "$('#truth').click()")
    assert run(page, "$$('.truth').length") > 4


def test_enlarging(visit: Callable[..., Any]):
    page = visit()
    small = run(page, "$('#grid .panel:last-child').clientWidth")
    run(page, "$('#grid .panel:last-child').click()")
    assert run(page, "$('#large').open")
    assert run(page, "$('#large .panel').clientWidth") > 2 * small
    number = len(run(page, "$$('#large .object')"))
    choose(page, "threshold", "0.05")
    assert len(run(page, "$$('#large .object')")) >= number
    run(page, "$('#large button').click()")
    assert not run(page, "$('#large').open")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme(visit: Callable[..., Any], theme: str):
    """The system's at first, the other one after a click: of the page, and of what is drawn in the
    figures."""
    page = visit(theme=theme)
    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle($('figure text')).fill]"
    )

    def is_dark(paper: str) -> bool:
        return sum(map(int, paper[4:-1].split(","))) < 200

    first = run(page, colours)
    assert is_dark(first[0]) == (theme == "dark")
    assert is_dark(first[1]) != is_dark(first[0])
    run(page, "$('#theme').click()")
    second = run(page, colours)
    assert [is_dark(c) for c in second] == [not is_dark(c) for c in first]
    assert run(page, "$('#theme').textContent") == theme


def test_legend_hides_a_curve(visit: Callable[..., Any]):
    page = visit()
    lines = "$$('#curves g[data-series=\"series-row1\"]').map((e) => getComputedStyle(e).display)"
    assert set(run(page, lines)) == {"inline"}
    for state in ("none", "inline"):
        run(page, "$('#curves button[data-key=\"series-row1\"]').click()")
        assert set(run(page, lines)) == {state}
    assert set(run(page, lines.replace("row1", "row0"))) == {"inline"}


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_fits_the_screen(visit: Callable[..., Any], size: tuple[int, int]):
    page = visit(size)
    assert run(page, "innerWidth") == size[0]
    assert run(page, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # Nothing sticks out but what scrolls or is meant to be cut.
    sticking = """$$('body *').filter((e) => e.getBoundingClientRect().right > innerWidth + 1
        && !e.closest('.panels, .scroll, pre, dialog, defs'))
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert run(page, sticking) == []
    # the table needs no scrolling at these sizes
    assert run(page, "$('.scroll').scrollWidth <= $('.scroll').clientWidth + 1")
    letters = run(page, "$$('figure text').map((e) => e.getBoundingClientRect().height)")
    assert min(letters) >= 10
    tags = run(page, "$$('#grid svg text').map((e) => e.getBoundingClientRect().height)")
    assert tags
    assert min(tags) >= 10
    assert run(page, "getComputedStyle($('.scores thead')).display") == (
        "none" if size == PHONE else "table-header-group"
    )


def test_page_without_pictures(visit: Callable[..., Any], tmp_path: Path, written: Path):
    folder = tmp_path / "run-1"
    folder.mkdir()
    shutil.copy(written.parent / "baseline-1" / "metrics.csv", folder)
    page = visit(page=write_report(folder, [folder]))
    assert run(page, "$$('section').map((e) => e.id)") == ["training", "provenance"]
    run(page, "$('#theme').click()")
    assert page.get_log("browser") == []

"""The page as a person meets it: a process of its own, in Chromium. Skipped where there is none
(Debian: ``apt install chromium-driver``)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from serve_cases import begun
from untrained import UNTRAINED
from video_cases import turn, write_clip

from dmaskrcnn import Detector

pytest.importorskip("gradio", reason="needs dmaskrcnn[app]")

DESKTOP, PHONE = (1280, 900), (420, 900)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the page of two detectors that find something everywhere."""
    runs = [tmp_path_factory.mktemp("runs") / name for name in ("baseline-1", "adapt-1")]
    for seed, folder in enumerate(runs):
        folder.mkdir()
        torch.manual_seed(seed)
        Detector(("car", "person"), UNTRAINED).save(folder)
    process, line = begun("app", *runs, "--port", 0, says="http://")
    yield line.partition("http")[1] + line.partition("http")[2].split()[0]
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (0, False), said


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """The page, just opened on a desktop."""
    resize(browser, DESKTOP)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(address)
    until(lambda: element(browser, "#file input[type=file]"))
    return browser


@pytest.fixture
def photo(tmp_path: Path, street) -> Path:
    path = tmp_path / "street.png"
    Image.fromarray(street[0].permute(1, 2, 0).contiguous().numpy()).save(path)
    return path


def resize(browser: Any, size: tuple[int, int]) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def element(page: Any, selector: str) -> Any:
    return next(iter(page.find_elements("css selector", selector)), None)


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """What ``true`` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "the page does not come so far"
        time.sleep(0.1)
    return value


def labels(page: Any) -> list[str]:
    """Of the pictures that are shown."""
    code = """return [...document.querySelectorAll('#pictures [id^=shown-]')]
        .filter((e) => e.offsetParent && e.querySelector('img'))
        .map((e) => (e.querySelector('label') || e).textContent.trim());"""
    return page.execute_script(code)


def drop(page: Any, file: Path) -> None:
    element(page, "#file input[type=file]").send_keys(str(file))


def objects(label: str) -> int:
    words = label.partition(": ")[2].replace(",", "").split()
    return sum(int(word) for word in words if word.isdigit())


def test_a_picture_is_shown_dehazed_and_through_each_run(page, photo):
    drop(page, photo)
    until(lambda: len(labels(page)) == 4)
    shown = labels(page)
    assert shown[0].startswith("as it is, haze 0.")
    assert shown[1] == "dehazed: robust dark channel"
    assert [label.partition(":")[0] for label in shown[2:]] == ["baseline-1", "adapt-1"]
    sizes = "return [...document.querySelectorAll('#pictures img')].map((e) => e.naturalWidth);"
    until(lambda: page.execute_script(sizes) == [128] * 4)


def test_the_threshold_and_the_runs_can_be_chosen(page, photo):
    drop(page, photo)
    until(lambda: len(labels(page)) == 4)
    code = """const box = document.querySelector('#threshold input[type=number]');
        box.value = arguments[0]; box.dispatchEvent(new Event('input', {bubbles: true}));
        box.dispatchEvent(new Event('blur', {bubbles: true}));
        box.dispatchEvent(new Event('pointerup', {bubbles: true}));"""
    before = [objects(label) for label in labels(page)[2:]]
    page.execute_script(code, 0.1)
    until(lambda: sum(objects(label) for label in labels(page)[2:]) > sum(before))
    page.find_elements("css selector", "#runs input")[0].click()
    until(lambda: len(labels(page)) == 3)
    assert labels(page)[2].startswith("adapt-1: ")


def test_results_can_be_downloaded(page, photo, tmp_path):
    drop(page, photo)
    until(lambda: len(labels(page)) == 4)

    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    for button in ("json", "picture"):
        until(lambda button=button: element(page, f"#{button}:not([disabled])")).click()
    sheet = tmp_path / "side-by-side.jpg"
    until(lambda: (tmp_path / "detections.json").exists() and sheet.exists())
    said = json.loads((tmp_path / "detections.json").read_text())
    assert (said["file"], said["dehazing"], said["looked_at"], said["threshold"]) == (
        "street.png",
        "dark-channel-robust",
        "image",
        0.5,
    )
    assert list(said["runs"]) == ["baseline-1", "adapt-1"]
    assert said["runs"]["adapt-1"]["width"] == 128
    with Image.open(sheet) as picture:
        assert picture.width > 2 * 320


def test_a_frame_of_a_video(page, tmp_path, street):
    av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    path = tmp_path / "road.mp4"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for picture in (street[0], street[1]):
            pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
            for _ in range(10):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    video.mux(packet)
        for packet in stream.encode():
            video.mux(packet)
    drop(page, path)
    until(lambda: len(labels(page)) == 4)
    assert element(page, "#second").is_displayed()


def test_a_whole_video_is_annotated_by_each_run(page, tmp_path):
    pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    clip = turn(write_clip(tmp_path / "road.mp4"))
    assert not element(page, "#whole")
    drop(page, clip)
    until(lambda: len(labels(page)) == 4)
    sizes = "return [...document.querySelectorAll('#pictures img')].map((e) => e.naturalWidth);"
    until(lambda: page.execute_script(sizes) == [64] * 4)  # turned upright, as the videos below
    until(lambda: element(page, "#whole")).click()
    code = """return [...document.querySelectorAll('#videos video')].filter((e) => e.offsetParent)
        .map((e) => [e.readyState > 0, e.videoWidth, e.videoHeight, Math.round(e.duration)]);"""
    until(lambda: page.execute_script(code) == [[True, 64, 96, 1]] * 2)
    said = element(page, "#videos").text
    for run in ("baseline-1", "adapt-1"):
        assert f"{run}: " in said
    assert "objects in 10 frames" in said
    for size in (DESKTOP, PHONE):
        resize(page, size)
        time.sleep(0.5)
        assert page.execute_script("return document.documentElement.scrollWidth") <= size[0]


def test_a_long_video_is_refused(page, tmp_path):
    pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    drop(page, write_clip(tmp_path / "long.mp4", times=[0, 61.0], sound=False))
    until(lambda: element(page, "#whole")).click()
    said = until(lambda: (toast := element(page, ".toast-body")) and toast.text)
    assert "and the page takes 60 s at most; cut it, or use dmaskrcnn predict" in said


@pytest.mark.parametrize(
    ("name", "reason"),
    [("broken.jpg", "cannot read the picture"), ("broken.mp4", "is no picture and no video")],
)
def test_what_is_no_picture_is_said(name, reason, page, tmp_path):
    if name.endswith("mp4"):
        pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    broken = tmp_path / name
    broken.write_bytes(b"no picture")
    drop(page, broken)
    said = until(lambda: (toast := element(page, ".toast-body")) and toast.text)  # it fades in
    assert reason in said
    assert "Traceback" not in said


def test_nothing_comes_from_elsewhere(page, photo, address):
    drop(page, photo)
    until(lambda: len(labels(page)) == 4)
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    outside = {u for u in urls if not u.startswith((address, "data:", "blob:", "chrome:"))}
    assert urls
    assert outside == set()
    severe = [e["message"] for e in page.get_log("browser") if e["level"] == "SEVERE"]
    assert severe == []


def test_it_fits_a_desktop_and_a_phone(page, photo):
    drop(page, photo)
    until(lambda: len(labels(page)) == 4)
    places = """return [...document.querySelectorAll('#pictures [id^=shown-]')]
        .filter((e) => e.offsetParent).map((e) => {
            const r = e.getBoundingClientRect(); return [r.left, r.right, r.top]; });"""
    for size in (DESKTOP, PHONE):
        resize(page, size)
        time.sleep(0.5)
        assert page.execute_script("return document.documentElement.scrollWidth") <= size[0]
        found = page.execute_script(places)
        assert all(0 <= left < right <= size[0] for left, right, _ in found)
        side_by_side = found[2][2] == found[3][2]
        assert side_by_side == (size == DESKTOP)

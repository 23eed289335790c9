"""Fixtures shared by the tests: a handful of rendered scenes, and a configuration that trains in
seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from untrained import UNTRAINED

from dmaskrcnn import Detector
from dmaskrcnn.cli.main import main
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo import render_scene, write_scenes
from dmaskrcnn.haze import add_haze

if "PYTEST_XDIST_WORKER" in os.environ:  # a core each, for the programs that tests start, too
    torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))

SIZE = (64, 96)
BROWSER_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--no-first-run", "--disable-dev-shm-usage"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The trainings first: whoever has done his tests takes half of another's, and nobody should
    begin a minute's training when all others have ended."""
    items.sort(key=lambda item: item.path.parent.name != "training")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What a test printed, as text that can be sent between processes: names of files may be none
    (pytest-xdist would lose the process)."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled clear scenes."""
    return write_scenes(tmp_path_factory.mktemp("clear"), 6, seed=1, size=SIZE)


@pytest.fixture(scope="session")
def hazy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six unlabelled hazy scenes."""
    return write_scenes(
        tmp_path_factory.mktemp("hazy"), 6, seed=2, size=SIZE, visibility=(40, 80), labelled=False
    )


@pytest.fixture(scope="session")
def tiny_in(clear: Path, hazy: Path) -> Callable[..., TrainConfig]:
    """A training configuration of a few iterations on the scenes, for runs in a folder; keywords
    override."""

    def make(out: Path, **overrides: Any) -> TrainConfig:
        method = overrides.get("method", "grl")
        values: dict[str, Any] = {
            "method": method,
            "preset": "demo",
            "source": (clear,),
            "target": (hazy,) if method == "grl" else (),
            "out": out,
            "iterations": 6,
            "batch": 2,
            "image_size": 64,
            "max_size": 96,
            "fpn_channels": 16,
            "warmup": 2,
            "workers": 0,
            "precision": "float32",
            "device": "cpu",
        }
        return TrainConfig.from_preset(**(values | overrides))

    return make


@pytest.fixture
def tiny(tiny_in: Callable[..., TrainConfig], tmp_path: Path) -> Callable[..., TrainConfig]:
    """The same, for runs in a folder of the test."""
    return lambda **overrides: tiny_in(**({"out": tmp_path / "runs"} | overrides))


@pytest.fixture
def config_file(tiny: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    """What `tiny` makes, for ``--config``."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tiny(iterations=2).to_dict()))
    return path


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as it should, and return its message."""

    def run(*arguments: object, said_before: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        lines = capsys.readouterr().err.splitlines()
        assert stop.value.code == 2, lines
        assert len(lines) == 1 + said_before, lines
        assert lines[-1].startswith("dmaskrcnn: ")
        return lines[-1].removeprefix("dmaskrcnn: ")

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector, which finds something everywhere."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    Detector(("car", "person"), UNTRAINED).save(folder)
    return folder


@pytest.fixture(scope="session")
def street() -> tuple[torch.Tensor, torch.Tensor]:
    """A rendered street, hazy and clear, uint8 ``(3, H, W)``."""
    drawn = render_scene(5, 96, 128)
    hazy = add_haze(drawn.image, np.minimum(drawn.depth, 200), 0.04, (0.85, 0.86, 0.88))
    return torch.from_numpy(hazy).permute(2, 0, 1), torch.from_numpy(drawn.image).permute(2, 0, 1)


@pytest.fixture
def photos(tmp_path: Path, street) -> Path:
    """Pictures of every awkward kind: subfolders, grey, 16 bit, alpha, rotated, one pixel,
    broken."""
    folder = tmp_path / "photos"
    (folder / "a" / "b").mkdir(parents=True)
    picture = Image.fromarray(street[0].permute(1, 2, 0).contiguous().numpy())
    picture.save(folder / "x.png")
    picture.save(folder / "a" / "x.JPG", quality=90)
    picture.convert("L").save(folder / "a" / "grey.pgm")
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(
        folder / "deep.png"
    )
    picture.convert("RGBA").save(folder / "a" / "b" / "alpha.webp")
    picture.resize((1, 1)).save(folder / "pixel.bmp")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # a quarter turn; the maker
    picture.save(folder / "turned.jpg", exif=exif, icc_profile=b"a profile")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, driven headless; the test is skipped where there is none."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs selenium (a development dependency)"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # a driver that is named is not looked for in the network
    service = webdriver.ChromeService(driver, log_output=os.devnull)
    try:
        started = webdriver.Chrome(options=options, service=service)
    except Exception as error:
        pytest.skip(f"chromium does not start here: {str(error).splitlines()[0]}")
    yield started
    started.quit()

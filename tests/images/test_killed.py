"""Folders of pictures after SIGKILL, which nothing in the process can tidy up after: what they say
of themselves, and what the same command makes of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import coco_object, write_coco, write_image
from disk import contents
from signalled import signalled

from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.data import open_images
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.images.dehazed_set import dehaze_dataset
from dmaskrcnn.output_folder import OutputFolder

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")

DETECTOR = ("dmaskrcnn.detector.detector", "Detector", "predict")
WRITER = ("dmaskrcnn.files", "Path", "replace")  # a temporary file stays


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(15):
        write_image(tmp_path / "photos" / f"{number:02d}.png", 24, 32)
        write_image(tmp_path / "photos" / "a" / f"{number:02d}.jpg", 24, 32)
    return tmp_path / "photos"


def killed(where: tuple[str, str, str], *arguments: object) -> None:
    """Run a command that is killed in the middle."""
    done = signalled(where, 9, signal.SIGKILL, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stderr


def pictures(out: Path) -> set[str]:
    """All pictures in the folder, hidden ones too."""
    return {name for name in contents(out) if not name.endswith(".json")}


def test_dehaze(photos: Path, tmp_path: Path):
    command, out = ("dehaze", photos, "--out", tmp_path / "out"), tmp_path / "out"
    killed(WRITER, *command)
    half = json.loads((out / "dehazed.json").read_text())
    assert (half["complete"], half["images"], len(half["files"])) == (False, [], 30)
    left = pictures(out)
    assert 7 < len(left) < 30
    assert any(Path(name).name.startswith(".") for name in left)
    main(list(map(str, command)))
    whole = json.loads((out / "dehazed.json").read_text())
    assert pictures(out) == {entry["picture"] for entry in whole["images"]} == set(whole["files"])
    assert (whole["complete"], len(whole["files"]), whole["earlier"]) == (True, 30, [])


def test_predict_with_other_options(photos: Path, run: Path, tmp_path: Path):
    out = tmp_path / "out"
    command = ("predict", run, photos, "--out", out, "--batch-size", 1)
    main(list(map(str, command)))
    before = json.loads((out / "detections.json").read_text())
    assert (before["complete"], before["threshold"], len(before["images"])) == (True, 0.5, 30)
    killed(DETECTOR, *command, "--threshold", 0.1)
    half = json.loads((out / "detections.json").read_text())
    assert (half["complete"], half["threshold"], half["images"]) == (False, 0.1, [])
    main(list(map(str, (*command, "--threshold", 0.1))))
    whole = json.loads((out / "detections.json").read_text())
    assert (whole["complete"], whole["threshold"], len(whole["images"])) == (True, 0.1, 30)
    assert len(pictures(out)) == 30


def test_haze_at_another_visibility(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    command = ("haze", photos, "--out", out, "--visibility")
    main(list(map(str, (*command, 30))))
    killed(WRITER, *command, 30, 60)
    half = json.loads((out / "haze.json").read_text())
    assert (half["complete"], half["visibilities"]) == (False, [30, 60])
    main(list(map(str, (*command, 60))))
    whole = json.loads((out / "haze.json").read_text())
    assert (whole["complete"], len(whole["files"])) == (True, 60)
    # of those that the killed run had not removed or written again
    assert pictures(out) == {*whole["files"], *whole["earlier"]}
    assert len(open_images(out / "visibility-60").paths) == 30


def test_a_dehazed_data_set(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was dehazed between two notes is done again, and is nobody else's."""
    out, data = tmp_path / "out", open_images(photos)
    dehaze: Callable[..., Any] = Dehazer.__call__
    calls = []

    def counted(self: Dehazer, image: Any) -> Any:
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return dehaze(self, image)

    monkeypatch.setattr(Dehazer, "__call__", counted)
    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "end", lambda *_: None)  # as if there had been no time for it
        with pytest.raises(KeyboardInterrupt):
            dehaze_dataset(Dehazer("dark-channel"), data, out, progress=False)
    half = json.loads((out / "cache.json").read_text())
    assert (half["complete"], half["seconds"], len(pictures(out))) == (False, {}, 8)
    for _ in range(2):
        dehaze_dataset(Dehazer("dark-channel"), data, out, progress=False)
        assert (len(calls), len(pictures(out))) == (9 + 30, 30)
    assert json.loads((out / "cache.json").read_text())["complete"]


def test_compare(photos: Path, run: Path, tmp_path: Path):
    """Killed in the second row: the first is kept, and no table claims to be of all."""
    test = write_coco(tmp_path / "test", [coco_object(1)], images=10)
    out = tmp_path / "out"
    command = ("compare", "--runs", run, "--data", test, "--dehaze", "none", "dark-channel")
    command = (*command, "--out", out, "--bootstrap", 5, "--device", "cpu")
    killed(("dmaskrcnn.dehazing", "Dehazer", "__call__"), *command)
    assert not (out / "comparison.csv").exists()
    kept = out / "predictions" / "none" / f"{run.name}.json"
    made = kept.stat().st_mtime_ns
    assert not json.loads((out / "dehazed" / "dark-channel" / "cache.json").read_text())["complete"]
    main(list(map(str, command)))
    assert kept.stat().st_mtime_ns == made
    assert [row.dehaze for row in load_comparison(out).rows] == ["none", "dark-channel"]
    assert json.loads((out / "comparison.json").read_text())["complete"]
    assert len(list((out / "dehazed" / "dark-channel").glob("*.png"))) == 10

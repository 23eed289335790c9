"""Numbers of cameras: with a video in the place of the device, and where there is none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from video_cases import write_clip

from dmaskrcnn.cli.main import main

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")
DEVICE = "/dev/video3"
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="cameras are read through Video4Linux"
)


def test_a_camera(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clip = write_clip(tmp_path / "clip.mkv", "ffv1", "bgr0", sound=False)
    opened, real, exists = [], av.open, os.path.exists

    def device(file: str, *args: Any, **options: Any) -> Any:
        if options.pop("format", None) != "v4l2":
            return real(file, *args, **options)
        opened.append(file)
        return real(str(clip), *args, **options)

    monkeypatch.setattr(av, "open", device)
    monkeypatch.setattr(os.path, "exists", lambda path: path == DEVICE or exists(path))
    monkeypatch.chdir(tmp_path)
    main(["predict", str(run), "3", "--end", "0.5", "--device", "cpu", "--out", "found"])
    assert opened == [DEVICE]
    index = json.loads((tmp_path / "found" / "videos.json").read_text())
    (entry,) = index["videos"]
    assert (entry["file"], entry["video"]) == ("camera 3", "camera-3.mp4")
    assert (entry["complete"], entry["reopened"]) == (True, 0)
    assert 0 < entry["frames"] + entry["dropped"] <= 5
    lines = (tmp_path / "found" / "camera-3.jsonl").read_text().splitlines()
    assert len(lines) == entry["frames"]


def test_no_camera_is_one_line(run: Path, tmp_path: Path, fails):
    said = fails("predict", run, "97", "--out", tmp_path / "found")
    assert "camera 97: there is no /dev/video97; plug it in" in said
    assert not (tmp_path / "found").exists()

"""Videos in `inspect`, `dehaze` and as the target of a training, and how `predict` ends early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.cli.main import main

av = pytest.importorskip("av")


def write_video(path: Path, pictures: list[np.ndarray], rate: int = 5, sound: bool = False) -> Path:
    """A video of these pictures."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        if sound:
            add_sound(file)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def add_sound(file) -> None:
    audio = file.add_stream("aac", rate=16000, layout="mono")
    part = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
    part.sample_rate, part.pts = 16000, 0
    file.mux(audio.encode(part))
    file.mux(audio.encode(None))


def blocks(seed: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A picture like no other."""
    small = np.random.default_rng(seed).integers(60, 200, (8, 12, 3), dtype=np.uint8)
    return small.repeat(height // 8, 0).repeat(width // 12, 1)


@pytest.fixture
def road(tmp_path: Path) -> Path:
    """Four scenes of a second each, the first of which comes again; with sound."""
    scenes = [0, 1, 2, 0]
    pictures = [blocks(scene) for scene in scenes for _ in range(5)]
    return write_video(tmp_path / "road.mp4", pictures, sound=True)


def test_inspect(road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["inspect", str(road)])
    said = capsys.readouterr().out
    for part in ("h264", "20 frames", "96 x 64 px", "5 frames/s", "4 s", "aac"):
        assert part in said
    (tmp_path / "text.mp4").write_text("hello\n" * 50)
    main(["inspect", str(tmp_path)])
    said = capsys.readouterr().out
    assert "videos: 2" in said
    assert "road.mp4: h264, 20 frames" in said
    assert "text.mp4: cannot be read as a video" in said


def test_no_video_to_inspect(tmp_path: Path, fails):
    (tmp_path / "text.mp4").write_text("hello\n" * 50)
    assert "text.mp4: cannot be read as a video" in fails("inspect", tmp_path / "text.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        add_sound(file)
    assert "sound.mp4: holds no frames; name a video" in fails("inspect", tmp_path / "sound.mp4")


def test_dehaze(road: Path, tmp_path: Path):
    out = tmp_path / "out"
    picture = tmp_path / "a.png"
    from PIL import Image

    Image.fromarray(blocks(7)).save(picture)
    main(["dehaze", str(road), str(picture), "--method", "dark-channel", "--out", str(out)])
    assert (out / "a.png").is_file()
    index = json.loads((out / "videos.json").read_text())
    (entry,) = index["videos"]
    assert (index["complete"], entry["frames"], entry["video"]) == (True, 20, "road.mp4")
    with av.open(str(out / "road.mp4")) as file, av.open(str(road)) as before:
        assert file.streams.audio[0].codec_context.name == "aac"
        assert file.streams.video[0].average_rate == 5
        clear, hazy = (list(f.decode(video=0)) for f in (file, before))
    assert len(clear) == len(hazy) == 20
    assert (clear[0].width, clear[0].height) == (96, 64)
    darker = [f.to_ndarray(format="rgb24").astype(float).mean() for f in (clear[3], hazy[3])]
    assert darker[0] < darker[1] - 5


def test_dehaze_draws_no_maps_of_videos(road: Path, tmp_path: Path, fails):
    assert "--maps" in fails("dehaze", road, "--maps", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""Whole videos on the page, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from predict_cases import LeftHalf
from video_cases import turn, write_clip

from dmaskrcnn.errors import UserError
from dmaskrcnn.serve.dropped import read_dropped, video_seconds
from dmaskrcnn.serve.whole_video import annotate

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")


def test_each_run_has_its_video(tmp_path: Path):
    clip = write_clip(tmp_path / "road.mp4")
    said: list[tuple[float, str]] = []
    looked: list[torch.Tensor] = []

    def prepare(image: torch.Tensor) -> torch.Tensor:
        looked.append(image)
        return image

    runs = {"a": LeftHalf(), "b": LeftHalf(score=0.3)}
    videos = annotate(
        clip, runs, 0.5, tmp_path / "out", prepare, lambda share, text: said.append((share, text))
    )
    assert [caption for _, caption in videos] == [
        "a: 10 objects in 10 frames",
        "b: 0 objects in 10 frames",
    ]
    for path, _ in videos:
        with av.open(str(path)) as file:
            assert len(list(file.decode(video=0))) == 10
            assert len(file.streams.audio) == 1
    shares = [share for share, _ in said]
    assert shares == sorted(shares)
    assert said[-1] == (1.0, "b: 10 of 10 frames")
    assert len(looked) == 20


def test_frames_are_upright_and_the_last_one_is_found(tmp_path: Path):
    clip = turn(write_clip(tmp_path / "road.mp4"))
    assert tuple(read_dropped(clip).shape) == (3, 96, 64)
    length = video_seconds(clip)
    assert length == pytest.approx(1.0)
    first, last = read_dropped(clip), read_dropped(clip, length)
    assert last.shape == first.shape
    assert not torch.equal(first, read_dropped(clip, 0.5))


def test_what_is_too_long_is_refused(tmp_path: Path):
    clip = write_clip(tmp_path / "long.mp4", times=[0, 61.0], sound=False)
    with pytest.raises(UserError, match=r"long\.mp4: lasts 61 s, and the page takes 60 s at most"):
        annotate(clip, {"a": LeftHalf()}, 0.5, tmp_path / "out")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(UserError, match="is no picture and no video that can be read"):
        annotate(tmp_path / "text.mp4", {"a": LeftHalf()}, 0.5, tmp_path / "out")

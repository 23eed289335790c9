"""Videos as cameras and programs write them, and some that are hardly any: the right result, or one
clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from video_cases import add_tone, turn, write_clip

from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
from dmaskrcnn.images.video_inputs import video_source

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 30)
STEADY = [number / 10 for number in range(10)]


class Nothing:
    """Finds nothing."""

    def predict(
        self, images: list[torch.Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        return [Detections.empty(*image.shape[1:], ("car",)) for image in images]


def predicted(clip: Path) -> tuple[dict[str, Any], list[np.ndarray], list[float]]:
    """The index's entry of a video; the frames that were written, and their times."""
    source, out = video_source(clip), clip.parent / "out"
    assert source is not None
    predict_videos(Nothing(), [source], out, VideoOptions(), progress=False)
    (entry,) = json.loads((out / "videos.json").read_text())["videos"]
    with av.open(str(out / entry["video"])) as file:
        frames = list(file.decode(video=0))
        entry["sound"] = [one.codec_context.name for one in file.streams.audio]
    times = [round(float(frame.pts * frame.time_base), 3) for frame in frames]
    return entry, [frame.to_ndarray(format="rgb24") for frame in frames], times


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return int(np.abs(pixel.astype(int) - colour).max()) <= 8


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("hevc.mp4", "libx265", "yuv420p"),
        ("ten-bits.mp4", "libx265", "yuv420p10le"),
        ("ten-bits.mkv", "libx264", "yuv420p10le"),
        ("motion.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_kinds_of_frames(name: str, codec: str, pixels: str, tmp_path: Path):
    entry, frames, _ = predicted(write_clip(tmp_path / name, codec, pixels))
    assert (entry["frames"], entry["rate"], entry["sound"]) == (10, 10, ["aac"])
    assert entry["notes"] == []
    for frame in (frames[0], frames[-1]):
        assert near(frame[32, 8], RED)
        assert near(frame[32, -8], BLUE)
        assert near(frame[-6, 20], GREEN)


def test_grey(tmp_path: Path):
    _, frames, times = predicted(write_clip(tmp_path / "grey.mkv", "ffv1", "gray"))
    assert times == STEADY
    assert near(frames[0][32, 8], (81, 81, 81))  # the luma of red
    assert np.ptp(frames[0], axis=2).max() <= 4


def test_turned_by_the_camera(tmp_path: Path):
    entry, frames, _ = predicted(turn(write_clip(tmp_path / "turned.mp4")))
    assert (entry["width"], entry["height"], entry["sound"]) == (64, 96, ["aac"])
    assert near(frames[0][20, 32], RED)  # what was on the left is above
    assert near(frames[0][-20, 32], BLUE)
    assert near(frames[0][48, 6], GREEN)


def test_a_single_frame(tmp_path: Path):
    entry, frames, times = predicted(write_clip(tmp_path / "one.mp4", times=[0]))
    assert (entry["frames"], len(frames), times, entry["sound"]) == (1, 1, [0.0], ["aac"])


def test_odd_sides_grow_by_a_pixel(tmp_path: Path):
    entry, frames, _ = predicted(write_clip(tmp_path / "odd.mp4", pixels="yuv444p", size=(97, 65)))
    assert (entry["width"], entry["height"], frames[0].shape) == (97, 65, (66, 98, 3))


def test_a_rate_that_varies(tmp_path: Path):
    times = [0, 0.1, 0.15, 0.5, 0.9, 1.4]
    assert predicted(write_clip(tmp_path / "vfr.mp4", times=times))[2] == times


def test_a_size_that_changes(tmp_path: Path):
    parts = [write_clip(tmp_path / f"{n}.ts", size=(96 + 32 * n, 64), sound=False) for n in (0, 1)]
    clip = tmp_path / "changes.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    entry, frames, _ = predicted(clip)
    assert entry["frames"] == 20
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    lines = (tmp_path / "out" / "changes.jsonl").read_text().splitlines()
    assert [json.loads(line)["width"] for line in lines] == [96] * 10 + [128] * 10


def test_cut_off(tmp_path: Path):
    clip = write_clip(tmp_path / "cut.mkv", "ffv1", "bgr0")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    entry, frames, times = predicted(clip)
    assert 0 < entry["frames"] == len(frames) < 8
    assert times == STEADY[: len(times)]
    assert " s; it may have been cut off" in entry["notes"][0]


def no_frames(path: Path) -> None:
    """A stream of frames that holds none, and sound."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        add_tone(file)


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as file:
        add_tone(file)


def without_its_index(path: Path) -> None:
    write_clip(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_frames, "holds no frames; name a video"),
        (sound_alone, "holds no frames; name a video"),
        (without_its_index, "cannot be read as a video"),
        (lambda path: path.write_bytes(b""), "cannot be read as a video"),
    ],
)
def test_what_shows_nothing_is_one_line(make: Callable[[Path], Any], said: str, tmp_path: Path):
    clip = tmp_path / "bad.mp4"
    make(clip)
    with pytest.raises(UserError) as error:
        predicted(clip)
    assert str(error.value).startswith(f"{clip}: {said}")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()

"""Videos as cameras and programs write them, and some that are hardly any: the right result, or one
clear line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from video_cases import add_tone, scene, turn, write_clip

from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource, video_source
from dmaskrcnn.images.video_out import VideoWriter
from dmaskrcnn.images.video_seek import seek

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


def read_from(source: VideoSource | None, start: float) -> list[tuple[float, int]]:
    """The time of each frame, and the number of the `scene` that it shows."""
    assert source is not None
    with VideoReader(source, start) as reader:
        return [
            (round(float(frame.time), 3), round((frame.pixels[4].min(axis=1) > 128).argmax() / 4))
            for frame in reader
        ]


def test_from_the_middle_over_http(tmp_path: Path):
    write_clip(tmp_path / "clip.mkv", "mjpeg", "yuvj420p")  # key frames alone
    expected = [(number / 10, number) for number in range(6, 10)]
    assert read_from(video_source(tmp_path / "clip.mkv"), 0.6) == expected
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/clip.mkv"
        assert read_from(video_source(address), 0.6) == expected
        server.shutdown()


@pytest.mark.parametrize(("codec", "form"), [("libx264", "h264"), ("mjpeg", "mjpeg")])
def test_from_the_middle_of_frames_without_times(codec: str, form: str, tmp_path: Path):
    with av.open(str(tmp_path / "raw.mpeg"), "w", format=form) as file:
        stream: Any = file.add_stream(codec, rate=25)  # as FFmpeg takes for granted
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.color_range = 2
        for number in range(10):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(scene(number), format="rgb24")))
        file.mux(stream.encode(None))
    expected = [(number / 25, number) for number in range(6, 10)]
    assert read_from(video_source(tmp_path / "raw.mpeg"), 0.24) == expected


def test_what_can_be_read_from_its_beginning_only():
    def refuse(_: int) -> None:
        raise av.error.PermissionError(1, "Operation not permitted")

    source = video_source("a.mpeg")
    assert source is not None
    container = SimpleNamespace(seek=refuse, start_time=None, close=lambda: None)
    said = r"^a.mpeg: can be read from its beginning only \(Oper.*leave --start 3 out, or convert"
    with pytest.raises(UserError, match=said):
        seek(source, container, 3.0, None)


def test_codecs_that_nobody_knows(tmp_path: Path):
    whole = write_clip(tmp_path / "whole.avi", "mjpeg", "yuvj420p").read_bytes()
    (tmp_path / "frames.avi").write_bytes(whole.replace(b"MJPG", b"XYZW"))
    with pytest.raises(UserError, match=r"frames.avi: its codec is not known to FFmpeg; convert"):
        predicted(tmp_path / "frames.avi")
    sound = bytearray(whole)
    at = whole.index(b"strf", whole.index(b"auds")) + 8  # of WAVEFORMATEX
    sound[at : at + 2] = b"\x34\x12"
    (tmp_path / "sound.avi").write_bytes(sound)
    entry, _, times = predicted(tmp_path / "sound.avi")
    assert (len(times), entry["sound"]) == (10, [])
    assert entry["notes"] == ["its sound is left out: FFmpeg does not know its codec"]


def test_names_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_clip(tmp_path / "in.mp4").rename(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    source = video_source("12:30.mp4")
    assert source is not None
    with VideoReader(source) as reader:
        writer = VideoWriter(Path("12:31.mp4"), reader)
        for frame in reader:
            writer.write(frame.pixels, frame)
        writer.close()
    assert len(read_from(video_source("12:31.mp4"), 0.0)) == 10


def test_what_ffmpeg_refuses_to_write_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its errors are not all of OSError's kind."""
    source = video_source(write_clip(tmp_path / "in.mp4"))
    assert source is not None
    with VideoReader(source) as reader:
        writer = VideoWriter(tmp_path / "out.mp4", reader)

        def refuse(_: Any) -> None:
            raise av.error.ArgumentError(22, "Invalid argument")

        monkeypatch.setattr(writer, "_mux", refuse)
        with pytest.raises(UserError, match=r"out.mp4: cannot be written \(Invalid argument\)"):
            writer.write(scene(0), next(iter(reader)))


def test_damaged_sound_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dmaskrcnn.images.video_out.COPIED", ())
    source = video_source(write_clip(tmp_path / "in.mp4"))
    assert source is not None

    def refuse() -> None:
        raise av.error.InvalidDataError(1094995529, "Invalid data")

    packet = SimpleNamespace(pts=0, time_base=Fraction(1, 1000), decode=refuse)
    with VideoReader(source, sound=True) as reader:
        writer = VideoWriter(tmp_path / "out.mp4", reader)
        for frame in reader:
            frame.sound.insert(0, packet)
            writer.write(frame.pixels, frame)
        writer.close()
    assert len(read_from(video_source(tmp_path / "out.mp4"), 0.0)) == 10

"""Videos in and out: times, sound, tracks, what ends early, and what is no video."""

from __future__ import annotations

import json
import socket
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dmaskrcnn.data.image import set_max_pixels
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.open_video import parse_time
from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
from dmaskrcnn.images.track import parse_line
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import VideoSource, sort_inputs, video_source

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")


class Red:
    """Finds the red square."""

    def __init__(self, fail_after: int = 10**9):
        self.calls, self.fail_after = 0, fail_after

    def predict(
        self, images: list[torch.Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        self.calls += 1
        if self.calls > self.fail_after:
            raise KeyboardInterrupt
        return [self.one(image) for image in images]

    def one(self, image: torch.Tensor) -> Detections:
        mask = (image[0] > 150) & (image[1] < 100)
        if not mask.any():
            return Detections.empty(*image.shape[1:], ("car",))
        ys, xs = mask.nonzero(as_tuple=True)
        box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])[None].float()
        return Detections(box, torch.tensor([0]), torch.tensor([0.9]), mask[None], ("car",))


def video(
    path: Path, times: list[float] | None = None, size=(96, 64), sound: bool = False
) -> VideoSource:
    """A red square that goes right by 2 px a frame."""
    times = [number / 25 for number in range(40)] if times is None else times
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"bf": "0", "g": "5"})
        stream.width, stream.height = size[0], size[1]
        stream.pix_fmt = "yuv444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if sound:
            audio = file.add_stream("aac", rate=16000, layout="mono")
            tone = np.zeros((1, 16000), np.float32)
            part = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            part.sample_rate, part.pts = 16000, 0
            file.mux(audio.encode(part))
            file.mux(audio.encode(None))
        for number, time in enumerate(times):
            pixels = np.full((size[1], size[0], 3), 128, np.uint8)
            pixels[20:40, 2 * number : 2 * number + 20] = (220, 20, 20)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return VideoSource(str(path), "file", Path(path.stem))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [round(float(frame.pts * frame.time_base), 3) for frame in file.decode(video=0)]


def test_a_tracked_video_keeps_its_times_and_sound(tmp_path: Path):
    times = sorted({round(number / 25 + 0.013 * (number % 3), 3) for number in range(38)})
    source = video(tmp_path / "in.mp4", times, sound=True)
    options = VideoOptions(track=True, lines=("0.5,0,0.5,1", "0,0.1,1,0.1"))
    summary = predict_videos(Red(), [source], tmp_path / "out", options, progress=False)
    (entry,) = summary.videos
    assert (entry["frames"], entry["objects"], entry["tracks"]) == (38, 38, {"car": 1})
    assert entry["crossings"][0]["rightwards"] == {"car": 1}
    assert entry["crossings"][0]["leftwards"] == {}
    assert entry["crossings"][1]["downwards"] == entry["crossings"][1]["upwards"] == {}
    assert frame_times(tmp_path / "out" / "in.mp4") == times
    found = lines(tmp_path / "out" / "in.jsonl")
    assert [line["time"] for line in found] == times
    assert [line["detections"][0]["track"] for line in found] == [None, *[1] * 37]
    assert len((tmp_path / "out" / "in.csv").read_text().splitlines()) == 39
    with av.open(str(tmp_path / "out" / "in.mp4")) as file:
        assert file.streams.audio[0].codec_context.name == "aac"
        assert (file.streams.video[0].width, file.streams.video[0].height) == (96, 64)


def test_every_start_end_and_odd_sizes(tmp_path: Path):
    source = video(tmp_path / "in.mp4", size=(97, 65))
    options = VideoOptions(every=3, start=0.4, end=1.2)
    predict_videos(Red(), [source], tmp_path / "out", options, progress=False)
    assert [line["frame"] for line in lines(tmp_path / "out" / "in.jsonl")] == list(
        range(10, 30, 3)
    )
    with av.open(str(tmp_path / "out" / "in.mp4")) as file:
        frames = list(file.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (20, 98, 66)


def test_without_a_video_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = video(tmp_path / "in.mp4", sound=True)
    monkeypatch.setattr("dmaskrcnn.images.predict_videos._Annotation._draw", pytest.fail)
    options = VideoOptions(video=False)
    summary = predict_videos(Red(), [source], tmp_path / "out", options, progress=False)
    (entry,) = summary.videos
    assert (entry["video"], entry["frames"], entry["objects"]) == (None, 40, 40)
    assert len(lines(tmp_path / "out" / "in.jsonl")) == 40
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "in.csv",
        "in.jsonl",
        "videos.json",
    ]


def test_an_interruption_leaves_a_video_and_whole_lines(tmp_path: Path):
    source, out = video(tmp_path / "in.mp4"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_videos(Red(fail_after=3), [source], out, VideoOptions(), progress=False)
    index = json.loads((out / "videos.json").read_text())
    assert (index["complete"], index["videos"][0]["complete"]) == (False, False)
    assert len(frame_times(out / "in.mp4")) == len(lines(out / "in.jsonl")) == 12
    predict_videos(Red(), [source], out, progress=False)
    assert len(lines(out / "in.jsonl")) == 40


def test_what_is_no_video_is_one_line(tmp_path: Path):
    (tmp_path / "text.mp4").write_text("hello\n" * 50)
    whole = video(tmp_path / "whole.mp4")
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:3000])
    for name in ("text.mp4", "cut.mp4", "none.mp4"):
        with pytest.raises(UserError, match=f"{name}: (cannot be read as a video|no such file)"):
            VideoReader(VideoSource(str(tmp_path / name), "file", Path(name)))
    with pytest.raises(UserError, match=r"no frames between --start and --end|before --start"):
        VideoReader(whole, start=5)
    sources = [VideoSource(str(tmp_path / "text.mp4"), "file", Path("text")), whole]
    summary = predict_videos(Red(), sources, tmp_path / "out", progress=False)
    assert (summary.images, len(summary.skipped)) == (1, 1)


def test_frames_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", None)
    source = video(tmp_path / "in.mp4")
    set_max_pixels(0.005)
    with pytest.raises(UserError, match="raise --max-pixels"):
        VideoReader(source)


def test_a_stream_that_never_answers():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        source = video_source(address)
        assert source is not None
        with pytest.raises(UserError, match=r"no answer within 0\.5 s"):
            VideoReader(source, patience=0.5)


def test_without_av(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = video(tmp_path / "in.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'dmaskrcnn\[video\]'"):
        VideoReader(source)


def test_which_input_is_what(tmp_path: Path):
    (tmp_path / "a").mkdir()
    for name in ("a/x.MP4", "a/y.png", "z.mkv"):
        (tmp_path / name).touch()
    named = ["rtsp://me:secret@host/1", "0", str(tmp_path / "z.mkv"), str(tmp_path / "a"), "p.jpg"]
    pictures, videos = sort_inputs(named)
    assert pictures == [str(tmp_path / "a"), "p.jpg"]
    assert [source.kind for source in videos] == ["stream", "camera", "file", "file"]
    assert str(videos[0]) == "rtsp://me:***@host/1"
    assert "secret" not in str(videos[0].name)


def test_patterns_and_folders_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clips/a.mp4", "clips/b.mkv", "clips/c.png", "clips/night/a.mp4", "out/a.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def names(*inputs: str) -> tuple[list[str | Path], list[str]]:
        pictures, videos = sort_inputs(inputs, Path("out"))
        return pictures, [source.name.as_posix() for source in videos]

    assert names("clips/*.mp4") == ([], ["a"])
    assert names("clips/**/*.mp4", "clips/a.mp4") == ([], ["a", "night/a"])
    assert names("clips/*") == (["clips/*"], ["a", "b", "night/a"])
    assert names("clip[s]") == (["clip[s]"], ["clips/a", "clips/b", "clips/night/a"])
    assert names("*/a.*") == ([], ["clips/a"])  # what an earlier run wrote is no input
    assert names("clips/*.avi") == (["clips/*.avi"], [])  # whose reader says that nothing matches


def test_times_and_lines():
    assert parse_time("1:02:03.5", "--start") == 3723.5
    with pytest.raises(UserError, match="--end x: no time"):
        parse_time("x", "--end")
    assert parse_line("0,0.5,1,0.5", 100, 200).ends == (0, 50, 200, 50)
    with pytest.raises(UserError, match="is no line on a picture"):
        parse_line("0,5,300,5", 100, 200)
    with pytest.raises(UserError, match="add --track"):
        VideoOptions(lines=("0,0,1,1",))

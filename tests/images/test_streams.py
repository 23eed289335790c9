"""Streams of real servers: FFmpeg's over HTTP, GStreamer's over RTSP. Skipped where they are absent
(Debian: the packages that ``.ci/run`` installs)."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from video_cases import write_clip

from dmaskrcnn.cli.main import main
from dmaskrcnn.detections import Detections
from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_inputs import video_source

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")

RTSP_SERVER = Path(__file__).parents[1] / "rtsp_server.py"
FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(
    FFMPEG is None or not sys.platform.startswith("linux"), reason="needs ffmpeg on Linux"
)


class Nothing:
    """Finds nothing, at once."""

    def predict(
        self, images: list[torch.Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        return [Detections.empty(*image.shape[1:], ("car",)) for image in images]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of 10 frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.ts"
    source = "testsrc=size=96x64:rate=10:duration=3"
    words = ["-f", "lavfi", "-i", source, "-c:v", "mpeg2video", "-g", "5", str(path)]
    subprocess.run([str(FFMPEG), "-loglevel", "error", *words], check=True)
    return path


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(clip: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """FFmpeg as a camera, for one who connects; it ends with the clip."""
    words = ["-re", "-i", str(clip), "-c", "copy", "-f", "mpegts", "-listen", "1"]
    command = [str(FFMPEG), "-loglevel", "quiet", *words, f"http://127.0.0.1:{port}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            # to connect would be to take the place of the only client
            while f":{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
                assert server.poll() is None, "the server did not start"
                time.sleep(0.05)
            yield server
        finally:
            server.kill()


def watched(
    port: int, out: Path, monkeypatch: pytest.MonkeyPatch, path: str = "", **reading: Any
) -> tuple[dict[str, Any], list[float]]:
    """The index's entry of the stream, and the times of its lines; its video has as many frames."""
    monkeypatch.setattr("dmaskrcnn.images.each_video.VideoReader", partial(VideoReader, **reading))
    source = video_source(f"http://127.0.0.1:{port}{path}")
    assert source is not None
    predict_videos(Nothing(), [source], out, VideoOptions(), progress=False)
    index = json.loads((out / "videos.json").read_text())
    (entry,) = index["videos"]
    assert index["complete"] is entry["complete"] is True
    text = (out / entry["lines"]).read_text()
    times = [json.loads(line)["time"] for line in text.splitlines()]
    with av.open(str(out / entry["video"])) as file:
        shown = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
    assert shown == pytest.approx([at - times[0] for at in times], abs=0.002)
    assert len(times) == entry["frames"]
    return entry, times


@needs_ffmpeg
def test_a_stream_is_read_to_its_end(clip, port, tmp_path, monkeypatch):
    with serving(clip, port):
        entry, times = watched(port, tmp_path / "out", monkeypatch, waits=(0.1, 0.1))
    assert (entry["width"], entry["height"], entry["rate"], entry["reopened"]) == (96, 64, 10, 0)
    assert entry["frames"] + entry["dropped"] == 30
    assert times[-1] == pytest.approx(2.9)
    assert "did not come back after 2 tries (Connection refused)" in entry["notes"][-1]


def test_a_file_over_http_ends(port, tmp_path, monkeypatch):
    """No frame is left out as of a live stream, and nobody waits for it to come back."""
    write_clip(tmp_path / "clip.ts", times=[number / 10 for number in range(30)], sound=False)
    words = [str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", *words], stderr=subprocess.DEVNULL
    ) as server:
        try:
            for _ in range(200):  # until it listens
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            monkeypatch.setattr(time, "sleep", pytest.fail)
            entry, times = watched(port, tmp_path / "out", monkeypatch, path="/clip.ts")
        finally:
            server.terminate()
    assert times == pytest.approx([number / 10 for number in range(30)])
    assert "reopened" not in entry
    assert entry["notes"] == []


@needs_ffmpeg
def test_a_stream_that_its_server_ends_is_not_waited_for_long(clip, port, tmp_path, monkeypatch):
    with serving(clip, port):
        entry, _ = watched(port, tmp_path / "out", monkeypatch, waits=(0.01,) * 9)
    assert "did not come back after 3 tries" in entry["notes"][-1]


@needs_ffmpeg
def test_a_stream_that_drops_and_comes_back_is_one_video(clip, port, tmp_path, monkeypatch):
    def serve_twice() -> None:
        with serving(clip, port) as first:
            ready.set()
            time.sleep(1.5)
            first.kill()
        time.sleep(0.5)
        with serving(clip, port) as second:
            second.wait()

    ready = threading.Event()
    servers = threading.Thread(target=serve_twice)
    servers.start()
    assert ready.wait(30)
    entry, times = watched(port, tmp_path / "out", monkeypatch, waits=(2.0,) * 3)
    servers.join()
    assert entry["reopened"] == 1
    assert times == sorted(set(times))
    gaps = [after - before for before, after in pairwise(times)]
    longest = gaps.index(max(gaps))
    assert gaps[longest] > 0.4  # as long as nothing came
    assert longest >= 1
    assert len(times) - longest >= 20  # all of the second


@needs_ffmpeg
def test_a_stream_that_falls_silent_ends_in_time(clip, port, tmp_path, monkeypatch):
    with serving(clip, port) as server:
        halt = threading.Timer(1.5, server.send_signal, [signal.SIGSTOP])
        halt.start()
        entry, _ = watched(port, tmp_path / "out", monkeypatch, waits=(0.1,), patience=1.0)
        halt.join()
    assert 0 < entry["frames"] + entry["dropped"] < 30
    assert "did not come back" in entry["notes"][-1]


@needs_ffmpeg
def test_a_stream_is_inspected(clip, port, capsys):
    with serving(clip, port):
        main(["inspect", f"http://127.0.0.1:{port}"])
    said = capsys.readouterr().out
    for part in ("mpeg2video", "without an end", "96 x 64 px", "10 frames/s", "in the first frame"):
        assert part in said


@pytest.fixture(scope="module")
def rtsp() -> Iterator[str]:
    """The address of a camera."""
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("needs the system's Python and its gir1.2-gst-rtsp-server-1.0")
    with subprocess.Popen(
        [python, str(RTSP_SERVER)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                assert server.stderr is not None
                said = server.stderr.read().splitlines()
                pytest.skip(f"needs gir1.2-gst-rtsp-server-1.0 and its plugins ({said[-1]})")
            yield f"rtsp://me:secret@127.0.0.1:{line.strip()}/road"
        finally:
            server.kill()


def test_rtsp(rtsp, tmp_path, capsys):
    source = video_source(rtsp)
    assert source is not None
    predict_videos(Nothing(), [source], tmp_path, VideoOptions(end=1.5), progress=False)
    text = (tmp_path / "videos.json").read_text()
    (entry,) = json.loads(text)["videos"]
    assert (entry["width"], entry["height"], entry["complete"]) == (96, 64, True)
    assert 0 < entry["frames"] <= 15
    main(["inspect", rtsp])
    said = capsys.readouterr()
    assert "mjpeg" in said.out
    assert "secret" not in text + said.out + said.err


def test_rtsp_of_another_name_is_one_line(rtsp, fails):
    assert "check the address" in fails("inspect", rtsp.replace("road", "none"))

"""Videos in `inspect`, `dehaze` and as the target of a training, and how `predict` ends early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import open_images
from dmaskrcnn.data.similar import Novelty
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.frames_of_video import frames_of_video
from dmaskrcnn.images.video_inputs import video_source
from dmaskrcnn.training.loop import train
from dmaskrcnn.training.target_videos import with_frames

av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")


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


def trained_on(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_training_takes_frames_once(road: Path, tiny, tmp_path: Path, capsys):
    config = tiny(target=(road,), iterations=1, target_every=0.5)
    run = train(config)
    (frames,) = (tmp_path / "runs" / "frames").iterdir()
    assert trained_on(frames) == ["000000.jpg", "000002.jpg", "000004.jpg", "frames.json"]
    said = yaml.safe_load((run / "config.yaml").read_text())
    assert (said["target"], said["target_every"]) == ([str(frames)], 1.0)  # pictures from now on
    index = json.loads((frames / "frames.json").read_text())
    assert (index["complete"], index["left_out"]) == (True, 5)
    assert index["times"] == {"000000.jpg": 0.0, "000002.jpg": 1.0, "000004.jpg": 2.0}
    assert "3 frames, 5 that looked like one before left out" in capsys.readouterr().err
    before = (frames / "frames.json").stat().st_mtime_ns
    assert with_frames(config).target == (frames,)  # the same again
    assert (frames / "frames.json").stat().st_mtime_ns == before
    (frames / "000002.jpg").unlink()
    assert with_frames(config).target == (frames,)  # made whole again
    assert trained_on(frames) == ["000000.jpg", "000002.jpg", "000004.jpg", "frames.json"]
    assert with_frames(replace(config, target_every=1.0)).target != (frames,)


def test_frames_of_a_stopped_run_are_taken_anew(road: Path, tmp_path: Path, monkeypatch):
    source = video_source(road)
    assert source is not None

    class Stops(Novelty):
        def __call__(self, picture) -> bool:
            if self._count == 2:
                raise KeyboardInterrupt
            return super().__call__(picture)

    monkeypatch.setattr("dmaskrcnn.images.frames_of_video.Novelty", Stops)
    with pytest.raises(KeyboardInterrupt):
        frames_of_video(source, tmp_path / "out", 1.0, progress=False)
    (folder,) = (tmp_path / "out").iterdir()
    assert json.loads((folder / "frames.json").read_text())["complete"] is False
    monkeypatch.undo()
    assert frames_of_video(source, tmp_path / "out", 1.0, progress=False) == folder
    assert json.loads((folder / "frames.json").read_text())["complete"] is True
    assert len(open_images(folder)) == 3


def test_folders_and_other_targets(road: Path, tiny, hazy: Path, tmp_path: Path):
    (tmp_path / "videos").mkdir()
    road.rename(tmp_path / "videos" / "road.mp4")
    frames, kept = with_frames(tiny(target=(tmp_path / "videos", hazy))).target
    assert (frames.name[:5], kept) == ("road-", hazy)
    for target in ("rtsp://me:secret@host/1", "0"):
        with pytest.raises(UserError, match=r"--target .*: .*record a video first") as refused:
            with_frames(tiny(target=(target,)))
        assert "secret" not in str(refused.value)
    with pytest.raises(UserError, match="--target-every must be above 0"):
        tiny(target_every=0.0)
    no_use = "^--target-every has no use without a video as --target: add that, or leave it out$"
    for options in ({"target": (hazy,)}, {"method": "source", "target": ()}):
        with pytest.raises(UserError, match=no_use):
            train(tiny(target_every=0.5, **options))
    assert not list((tmp_path / "runs").glob("*-1"))


def test_videos_beside_pictures_and_patterns_as_targets(road: Path, tiny, tmp_path: Path):
    (tmp_path / "both").mkdir()
    Image.fromarray(blocks(7)).save(tmp_path / "both" / "a.png")
    road.rename(tmp_path / "both" / "road.mp4")
    both, frames = with_frames(tiny(target=(tmp_path / "both",))).target
    assert (both, frames.name[:5]) == (tmp_path / "both", "road-")
    assert with_frames(tiny(target=(tmp_path / "both" / "*.mp4",))).target == (frames,)


def test_a_reproduction_takes_frames(road: Path, clear: Path, tmp_path: Path, monkeypatch):
    taken = []

    def reproduce(source, target, test, **options):
        taken.extend(target)
        raise UserError("so far")

    monkeypatch.setattr("dmaskrcnn.compare.reproduce.reproduce", reproduce)
    words = ["--source", clear, "--target", road, "--test", clear, "--out", tmp_path / "paper"]
    with pytest.raises(SystemExit):
        main(["reproduce", *map(str, words)])
    (frames,) = taken
    assert frames.parent == tmp_path / "paper" / "frames"
    assert trained_on(frames) == ["000000.jpg", "000001.jpg", "000002.jpg", "frames.json"]


def test_tiles_of_frames(run: Path, road: Path, tmp_path: Path, fails):
    words = ["predict", str(run), str(road), "--threshold", "0.01", "--end", "0.5"]
    found = []
    for tiles in ("0", "64"):
        out = tmp_path / tiles
        main([*words, "--tiles", tiles, "--device", "cpu", "--out", str(out)])
        found.append([json.loads(line) for line in (out / "road.jsonl").read_text().splitlines()])
    plain, tiled = found
    assert [line["time"] for line in plain] == [line["time"] for line in tiled]
    assert all(len(line["detections"]) <= 8 for line in plain)  # the detector's own limit
    assert any(len(line["detections"]) > 8 for line in tiled)
    assert "--tiles of 10 px are too small" in fails(*words, "--tiles", "10", "--out", tmp_path)


def test_a_target_without_av(road: Path, tiny, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'dmaskrcnn\[video\]'"):
        train(tiny(target=(road,)))


def test_show_without_a_display(run: Path, road: Path, tmp_path: Path):
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in displays}
    words = ["predict", str(run), str(road), "--show", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "dmaskrcnn", *words, "--out", str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "--show" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sigterm(run: Path, tmp_path: Path):
    long = write_video(tmp_path / "long.mp4", [blocks(seed) for seed in range(600)])
    out = tmp_path / "out"
    words = ["predict", str(run), str(long), "--device", "cpu", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dmaskrcnn", *words], stderr=subprocess.PIPE, text=True
    )
    lines = out / "long.jsonl"
    while process.poll() is None and not (lines.is_file() and lines.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143, said
    assert "Traceback" not in said
    index = json.loads((out / "videos.json").read_text())
    assert (index["complete"], index["videos"][0]["complete"]) == (False, False)
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert all(0 <= line["haze"] <= 1 for line in written)
    with av.open(str(out / "long.mp4")) as file:
        assert len(list(file.decode(video=0))) == len(written) > 0

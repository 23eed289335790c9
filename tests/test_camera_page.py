"""The page "on the camera", walked from an empty folder: its commands, as they stand there and in
their order, up to where they ask for an administrator. The trainings get flags that make them tiny,
and the servers a port that is free."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from export_cases import needed
from PIL import Image
from serve_cases import begun

from dmaskrcnn.cli.main import main
from dmaskrcnn.cli.runtime import main as runtime_main
from dmaskrcnn.demo import write_scenes

PAGE = Path(__file__).parent.parent / "docs" / "camera.md"
INSTALL = (
    "CHECKOUT=",
    "pip install",
    "uv tool install",
    "python3 -m venv",
    "small/bin/pip install",
)
SIZE = (64, 96)
SHORT = ["--iterations", "2", "--batch", "2", "--warmup", "1", "--workers", "0", "--device", "cpu"]
SMALL = ["--preset", "cpu", "--image-size", "64", "--max-size", "96", "--fpn-channels", "16"]
TINY = {"train": [*SMALL, *SHORT, "--weights", "scratch"], "adapt": [*SMALL, *SHORT]}


def commands() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").partition("\n## 8. ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith(INSTALL)]


def write_road(path: Path) -> None:
    """Three seconds of rendered streets in haze, each of which moves."""
    av = pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    streets = write_scenes(path.parent / "streets", 3, seed=4, size=(80, 128), visibility=(40, 80))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for street in sorted((streets / "images").iterdir()):
            for step in range(8):
                pixels = np.asarray(Image.open(street))[step:, 2 * step :][: SIZE[0], : SIZE[1]]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
                file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    shutil.rmtree(streets)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page says is there, and nothing else."""
    needed("onnx", "onnxruntime", "openvino")
    for module in ("supervision", "trackers", "fastapi", "uvicorn", "gradio"):
        pytest.importorskip(module, reason="needs dmaskrcnn[all]")
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    there = tmp_path / "there"
    there.mkdir()
    write_road(there / "road.mp4")
    coco = write_scenes(tmp_path / "coco", 4, seed=5, size=SIZE)
    main(["convert", str(coco / "annotations.json"), "--to", "yolo", "--out", str(there / "clear")])
    write_scenes(there / "test", 3, seed=6, size=SIZE, visibility=(40, 80))
    monkeypatch.chdir(there)
    return there


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for server in started:
        server.kill()
        server.communicate()


def test_the_page_from_an_empty_folder(folder: Path, servers: list[subprocess.Popen[str]]):
    walked, address, answers = [], "", []
    for program, *words in commands():
        walked.append(" ".join([program, *words[:1]]))
        if program == "small/bin/dmaskrcnn-runtime":
            runtime_main(words)
        elif program == "curl":
            calling = [
                "curl",
                "-sSf",
                *(w.replace("http://127.0.0.1:8000", address) for w in words),
            ]
            answers.append(subprocess.run(calling, check=True, capture_output=True).stdout)
        elif words[0] in ("serve", "app"):
            if servers:
                stop(servers[-1])
            words[words.index("--port") + 1] = "0"
            process, line = begun(*words, says="http://")
            servers.append(process)
            address = line[line.index("http://") :].split()[0].rstrip("/")
        else:
            assert program == "dmaskrcnn"
            main([*words, *TINY.get(words[0], [])])
    with urlopen(address, timeout=60) as page:  # that of `app`
        assert b"gradio" in page.read()
    stop(servers[-1])

    assert [name.removeprefix("dmaskrcnn ") for name in walked[:9]] == [
        *(
            "inspect",
            "train",
            "adapt",
            "gauge",
            "evaluate",
            "predict",
            "export",
            "export",
            "predict",
        )
    ]
    assert [name for name in walked if "serve" in name or "app" in name] == [
        *("dmaskrcnn serve", "dmaskrcnn serve", "dmaskrcnn app")
    ]
    check_what_was_made(folder, answers)


def stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    _, said = server.communicate(timeout=60)
    assert (server.returncode, "Traceback" in said) == (0, False), said


def check_what_was_made(folder: Path, answers: list[bytes]) -> None:
    frames = list((folder / "runs" / "frames").rglob("*.jpg"))
    assert len(frames) == 3
    for found in ("found", "found-exported"):
        index = json.loads((folder / found / "videos.json").read_text())
        (video,) = index["videos"]
        assert (index["complete"], video["frames"], video["rate"]) == (True, 24, 8.0)
        assert (folder / found / video["video"]).stat().st_size > 500
        with (folder / found / video["table"]).open(newline="") as file:
            assert next(csv.reader(file))[:2] == ["frame", "time"]
        assert ("crossings" in video) == (found == "found")
    for out, runtime in (("exported-onnx", "onnx"), ("exported", "openvino")):
        said = json.loads((folder / out / "model.json").read_text())
        assert (said["runtime"], said["complete"]) == (runtime, True)
        assert said["compared"]["same input"]["lost"] == 0
    assert len(list((folder / "found-small").rglob("*.jpg"))) == len(frames)
    told = [json.loads(answer) for answer in answers if answer]
    assert [one["run"] for one in told] == ["exported", told[1]["run"]]
    assert told[1]["run"] in ("adapt-1", "baseline-1")
    assert (folder / "answer.jpg").read_bytes()[:3] == b"\xff\xd8\xff"

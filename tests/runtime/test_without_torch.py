"""In a process where ``import torch`` fails, as on a machine without it. The real thing, a wheel in
an environment of its own, is `tools/check_runtime.sh`."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from export_cases import pixels
from PIL import Image
from serve_cases import encoded

from dmaskrcnn.cli.main import main as whole_main
from dmaskrcnn.cli.runtime import main
from dmaskrcnn.detections import Detections
from dmaskrcnn.export import load

BLOCK = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "scipy", "matplotlib", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""


def without_torch(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", BLOCK + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def verb(*arguments: object) -> subprocess.CompletedProcess[str]:
    return without_torch("from dmaskrcnn.cli.runtime import main\nmain(sys.argv[1:])", *arguments)


def photo(path: Path) -> Path:
    Image.fromarray(pixels(80, 120, 3)).save(path)
    return path


def test_same_detections(onnx_folder: Path, tmp_path: Path):
    file = photo(tmp_path / "a.png")
    code = """
import json
from dmaskrcnn.export import load
found = load(sys.argv[1]).predict(sys.argv[2], threshold=0.05)
assert type(found.boxes).__module__ == "numpy"
found.draw(found.masks[0].astype("uint8")).save(sys.argv[3])
some = found[found.scores > 0.05][:3]
print(json.dumps([found.to_dict(), found.to_coco(1, {c: i for i, c in enumerate(found.classes)}),
                  some.to("cpu").names, [len(one) for one in some]]))
"""
    done = without_torch(code, onnx_folder, file, tmp_path / "drawn.png")
    assert done.returncode == 0, done.stderr
    ours: Detections = load(onnx_folder).predict(file, threshold=0.05)
    ids = {name: i for i, name in enumerate(ours.classes)}
    said = [ours.to_dict(), ours.to_coco(1, ids), ours[:3].names, [1, 1, 1]]
    assert json.loads(done.stdout) == json.loads(json.dumps(said))
    assert len(ours) > 3
    assert (tmp_path / "drawn.png").exists()


def test_predict(onnx_folder: Path, tmp_path: Path):
    photo(tmp_path / "in.png")
    arguments = ("predict", onnx_folder, tmp_path / "in.png", "--out", tmp_path / "found")
    done = verb(*arguments, "--threshold", "0.05")
    assert done.returncode == 0, done.stderr
    index = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert index["complete"] is True
    assert index["images"][0]["detections"]
    assert np.asarray(Image.open(tmp_path / "found" / "in.jpg")).shape == (80, 120, 3)


def test_videos(onnx_folder: Path, tmp_path: Path):
    """A video, followed and counted, says what `dmaskrcnn predict` says of it."""
    for name in ("av", "supervision", "trackers"):
        pytest.importorskip(name, reason="needs dmaskrcnn[video,track]")
    from video_cases import write_clip

    clip = write_clip(tmp_path / "clip.mp4")
    words = [str(onnx_folder), str(clip), "--threshold", "0.05", "--every", "2", "--start", "0.2"]
    words += ["--end", "0.8", "--track", "--line", "0,0.5,1,0.5", "--out"]
    blocked = BLOCK.replace('"scipy", "matplotlib", ', "")  # supervision needs them
    code = "from dmaskrcnn.cli.runtime import main\nmain(sys.argv[1:])"
    command = [sys.executable, "-c", blocked + code, "predict", *words, str(tmp_path / "bare")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    whole_main(["predict", *words, str(tmp_path / "whole")])
    for name in ("clip.jsonl", "clip.csv"):
        bare, whole = (tmp_path / folder / name for folder in ("bare", "whole"))
        assert bare.read_text() == whole.read_text()
    entries = [json.loads(line) for line in (tmp_path / "bare/clip.jsonl").read_text().splitlines()]
    assert [entry["time"] for entry in entries] == [0.2, 0.4, 0.6]
    assert all("track" in found for entry in entries for found in entry["detections"])
    (said,) = json.loads((tmp_path / "bare" / "videos.json").read_text())["videos"]
    assert (said["complete"], said["frames"], len(said["crossings"])) == (True, 6, 1)


def test_a_camera_that_is_not_there(onnx_folder: Path, tmp_path: Path):
    pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    done = verb("predict", onnx_folder, "99", "--out", tmp_path / "found")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dmaskrcnn-runtime: camera 99: ")


def test_errors_are_one_line(tmp_path: Path):
    done = verb("predict", tmp_path, tmp_path / "in.png", "--out", tmp_path / "found")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"dmaskrcnn-runtime: {tmp_path}: no model.json there; give a folder that dmaskrcnn export "
        "wrote"
    ]
    assert verb("--help").returncode == 0
    assert verb("version").stdout.startswith("dmaskrcnn-runtime ")


def test_distribution_holds_the_verb():
    text = (Path(__file__).parents[2] / "runtime" / "pyproject.toml").read_text()
    assert 'dmaskrcnn-runtime = "dmaskrcnn.cli.runtime:main"' in text
    assert "torch>" not in text


def test_narrow_pictures(onnx_folder: Path, tmp_path: Path):
    files = []
    for width in (1, 3):
        files.append(tmp_path / f"{width}.png")
        Image.new("RGB", (width, 5), "grey").save(files[-1])
    done = verb("predict", onnx_folder, *files, "--out", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "found" / "detections.json").read_text())["images"]
    assert [(image["width"], image["height"]) for image in sizes] == [(1, 5), (3, 5)]


def test_serve(onnx_folder: Path):
    """The service answers as `load(…).predict` does, and ends as it should."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from dmaskrcnn.cli.runtime import main\nmain(sys.argv[1:])"
    arguments = ("serve", str(onnx_folder), "--port", str(port), "--threshold", "0.05")
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        try:
            answer = _post(f"http://127.0.0.1:{port}/predict", encoded((96, 64), "PNG"))
        finally:
            service.send_signal(signal.SIGTERM)
            _, said = service.communicate(timeout=30)
    assert service.returncode == 0, said
    image = np.asarray(Image.open(io.BytesIO(encoded((96, 64), "PNG"))))
    ours = load(onnx_folder).predict(image, threshold=0.05)
    assert len(answer["detections"]) == len(ours)


def _post(address: str, body: bytes) -> dict[str, Any]:
    for _ in range(200):  # until it listens
        try:
            reply = httpx.post(address, content=body, headers={"Content-Type": "image/png"})
        except httpx.ConnectError:
            time.sleep(0.1)
            continue
        assert reply.status_code == 200, reply.text
        return reply.json()
    raise AssertionError("no answer in 20 s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.png", "--tiles", "64"), "--tiles: needs `dmaskrcnn predict`"),
        (("a.png", "--line", "0,0,1,1"), "--line counts objects that are followed: add --track"),
    ],
)
def test_what_it_does_not_do_is_refused(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "a.png").touch()
    with pytest.raises(SystemExit) as stop:
        main(["predict", "export", str(tmp_path / words[0]), *words[1:], "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err

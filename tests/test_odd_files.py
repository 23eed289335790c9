"""Files that are no pictures but are called so, names that are no text, and pictures, arrays and
descriptions that are larger than they look: what the verbs do with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.config.train import TrainConfig, read_yaml
from dmaskrcnn.data import open_images
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.weights import read_state
from dmaskrcnn.errors import UserError, printable
from dmaskrcnn.evaluation.results_json import load_results
from dmaskrcnn.files import alone_in
from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.training.curves import plot_curves
from dmaskrcnn.training.loop import resume, train

ESCAPE = "\x1b[2J\n"
posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and names of POSIX")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with one picture of each odd name, and what is no file."""
    folder = tmp_path / "odd"
    write_image(folder / "x.png", 24, 32)
    for name in (b"\xff\xfe.png", ESCAPE.encode() + b".jpg", b"y" * 251 + b".png"):
        write_image(folder / os.fsdecode(name.replace(b"/", b"")), 24, 32)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    return folder


@posix
@pytest.mark.parametrize("verb", ["predict", "dehaze", "haze", "inspect"])
def test_odd_names_and_no_files(
    verb: str, odd: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    words = {
        "predict": ["predict", run, odd, "--out", out],
        "dehaze": ["dehaze", odd, "--out", out],
        "haze": ["haze", odd, "--visibility", "50", "--out", out],
        "inspect": ["inspect", odd],
    }[verb]
    main([str(word) for word in words])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    (said.out + said.err).encode()
    if verb != "inspect":
        assert "skipped" in said.err
        assert "is no regular file" in said.err
        index = json.loads(next(out.glob("*.json")).read_text())
        assert index["complete"]
        assert len(index["images" if verb != "haze" else "pictures"]) == 4
        assert len(index["skipped"]) == 3
        assert len(open_images(out if verb != "haze" else out / "visibility-50")) == 4


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[2J\r\n\u202eé\udcff\ud800") == r"a\x1b[2J\r\n\u202eé\xff\ud800"
    assert printable("a\n\tb\x07", lines=True) == "a\n\tb\\x07"


def huge_png(path: Path, side: int) -> Path:
    """A valid header of a grey picture, and nearly nothing."""
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("side", [13_300, 13_400])
def test_a_picture_is_too_large_before_it_is_decoded(side: int, tmp_path: Path, fails, capsys):
    picture = huge_png(tmp_path / "x.png", side)
    message = f"has {side * side / 1e6:.0f} megapixels, more than"
    with pytest.raises(UserError, match=rf"{message} .*--max-pixels"):
        decode_image(picture)
    words = ("dehaze", picture, "--out", tmp_path / "out")
    assert f"{message} 100" in fails(*words, said_before=2)
    assert "truncated" in fails(*words, "--max-pixels", 9000, said_before=2)


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def test_an_archive_that_holds_more_than_it_weighs(tmp_path: Path):
    np.savez_compressed(tmp_path / "x.npz", depth=np.zeros((3000, 3000), np.float32))
    with pytest.raises(UserError, match="more than a map of 32x24 has"):
        DepthMaps(tmp_path).read(tmp_path / "x.npz", (24, 32))


def test_masks_are_not_larger_than_their_picture(tmp_path: Path):
    mask = {"size": [16000, 16000], "counts": [16000 * 16000]}
    entry = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}
    (tmp_path / "r.json").write_text(json.dumps([entry | {"segmentation": mask}] * 12))
    with pytest.raises(UserError, match=r"its picture .24, 32"):
        load_results(tmp_path / "r.json", [1], {"car": 1}, sizes=[(24, 32)])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("fpn_channels", 20_000, "more than 1,000,000,000"),
        ("fpn_channels", "x", "not a whole number"),
        ("max_size", 10**9, "pixels; lower"),
        ("pre_nms", [0, 1], "at least 1"),
    ],
)
def test_a_network_is_not_built_to_find_out(field, value, message, run: Path, tmp_path: Path):
    model = json.loads((run / "model.json").read_text())
    model["detector"][field] = value
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(UserError, match=rf"model\.json: .*{message}"):
        Detector.load(tmp_path, "cpu")


def test_weights_that_are_not_finite(run: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    state = load_file(run / "model.safetensors")
    state["rpn.head.cls_logits.bias"][0] = float("nan")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"cls_logits\.bias holds values that are not finite"):
        read_state(tmp_path / "model.safetensors")


def test_yaml_that_unfolds(tmp_path: Path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="aliases"):
        read_yaml(tmp_path / "x.yaml")
    with pytest.raises(UserError, match="no text"):
        TrainConfig.from_dict({"source": "a", "target": {1}, "name": b"x"})


def test_a_run_is_resumed_from_anywhere(
    tiny, clear: Path, hazy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its data, and the run that it started from."""
    monkeypatch.chdir(clear.parent)
    start = train(tiny(method="source", source=(clear.name,), iterations=1))
    there = os.path.relpath(start)
    paths = {"source": (clear.name,), "target": (os.path.relpath(hazy),), "weights": there}
    folder = train(tiny(iterations=1, **paths))
    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert resume(folder) == folder
    assert (folder / "model.safetensors").read_bytes() == before


@posix
def test_one_process_per_run(tiny):
    folder = train(tiny(method="source", iterations=1))
    code = (
        "import sys; from pathlib import Path; from dmaskrcnn.files import alone_in\n"
        "with alone_in(Path(sys.argv[1]), 'busy'):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(UserError, match="another process is training there"):
            resume(folder)
        other.kill()
        other.wait()
        assert resume(folder) == folder


@posix
def test_a_loading_process_does_not_hold_the_lock(tmp_path: Path):
    with alone_in(tmp_path, "busy"):
        here, there = os.pipe()
        child = os.fork()
        if not child:
            os.write(there, b".")
            os.read(os.pipe()[0], 1)
        os.read(here, 1)
    try:
        with alone_in(tmp_path, "busy"):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_name_is_no_formula_and_no_drawing_ends_a_training(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "metrics.csv").write_text("iteration,seconds,phase,detection\n20,1,adapt,1\n")
    for name in ("$x$", "a_$b^$", ESCAPE):
        plot_curves({name: tmp_path / "metrics.csv"}, tmp_path / "x.png")

    def broken(*_: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("dmaskrcnn.training.loop.draw_examples", broken)
    assert (train(tiny(method="source", iterations=1)) / "model.safetensors").is_file()
    assert "pictures.jpg: not drawn (no font)" in capsys.readouterr().err


@posix
def test_labelled_pictures_of_odd_names(
    tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    """Trained on, scored, compared and shown: names that are no text, and one that a terminal
    would obey; a pipe among them is refused in one line, or left out on request."""
    names = ["\udcff\udcfe.png", ESCAPE + ".png", "y" * 251 + ".png", "$x$ <b>&.png"]
    path = write_coco(tmp_path / "set", [coco_object(i, image=i) for i in (1, 2, 3, 4)], images=4)
    content = json.loads(path.read_text())
    for entry, name in zip(content["images"], names, strict=True):
        (path.parent / "images" / entry["file_name"]).rename(path.parent / "images" / name)
        entry["file_name"] = name
    path.write_text(json.dumps(content))
    folder = train(tiny(method="source", source=(path,), iterations=1, name="a $x$_é"))
    out = tmp_path / "out"
    words = ["--runs", folder, "--data", path, "--bootstrap", 5, "--out", out, "--device", "cpu"]
    main(["compare", *map(str, words)])
    main(["evaluate", str(folder), "--data", str(path), "--bootstrap", "5"])
    main(["report", str(folder), "--out", str(tmp_path / "x.html"), "--device", "cpu"])
    (out / "report.html").read_bytes().decode()
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err + caplog.text
    os.mkfifo(path.parent / "images" / "pipe.png")
    content["images"].append(content["images"][0] | {"id": 9, "file_name": "pipe.png"})
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"pipe\.png.*--drop-invalid"):
        train(tiny(method="source", source=(path,), iterations=1))
    train(tiny(method="source", source=(path,), iterations=1, drop_invalid=True))

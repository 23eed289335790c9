"""Verbs that need no network import no PyTorch, and say what the package says with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from data_files import coco_object, voc_object, write_coco, write_voc

from dmaskrcnn import evaluate, open_dataset
from dmaskrcnn.cli.main import main
from dmaskrcnn.data import inspect
from dmaskrcnn.data.classes import coco_names

POLYGON = [[2, 3, 12, 3, 12, 11, 2, 11]]


NETWORK = ("torch", "torchvision")
# what takes a tenth of a second and more, and only reports need
SLOW = ("matplotlib", "scipy", "pandas", "jinja2", "contourpy")


def verb(*words: object, never: Sequence[str] = NETWORK) -> str:
    """What the verb says, in a process that must not import such modules."""
    code = f"""
import sys
from dmaskrcnn.cli import main
main(sys.argv[1:])
found = [name for name in {tuple(never)} if name in sys.modules]
sys.exit(f"imported {{found}}" if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    objects = [coco_object(1, segmentation=POLYGON), coco_object(2, 2, 7), coco_object(3, 1, 7)]
    return write_coco(tmp_path / "coco", objects)


@pytest.fixture
def results(tmp_path: Path, labels: Path) -> list[Path]:
    square = {"size": [20, 30], "counts": [43, 8, *[12, 8] * 9, 369]}
    found = [
        {"image_id": 1, "category_id": 3, "bbox": [2, 3, 10, 8], "score": 0.9},
        {"image_id": 2, "category_id": 7, "bbox": [4, 3, 10, 8], "score": 0.8},
        {"image_id": 2, "category_id": 3, "bbox": [1, 1, 5, 5], "score": 0.7},
    ]
    files = [tmp_path / "all.json", tmp_path / "some.json"]
    for file, entries in zip(files, (found, found[:2]), strict=True):
        file.write_text(json.dumps([one | {"segmentation": square} for one in entries]))
    return files


def test_inspect(labels: Path, tmp_path: Path):
    voc = write_voc(tmp_path / "voc", {"a": voc_object("car")})
    said = verb("inspect", labels, voc, never=[*NETWORK, *SLOW, "yaml"])
    assert inspect(labels).format_text() in said
    assert inspect(voc).format_text() in said


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo"])
def test_convert(labels: Path, tmp_path: Path, kind: str):
    out = tmp_path / "out"
    assert "2 images, 3 objects" in verb(
        "convert", labels, "--to", kind, "--out", out, never=[*NETWORK, *SLOW]
    )
    data = open_dataset(out)
    assert [len(data.annotations(image)) for image in range(2)] == [2, 1]


def test_evaluate(labels: Path, results: list[Path]):
    said = verb("evaluate", *results, "--data", labels, never=[*NETWORK, *SLOW])
    for file in results:
        assert evaluate(file, labels).table() in said


def test_compare_and_report(labels: Path, results: list[Path], tmp_path: Path):
    said = verb("compare", "--runs", *results, "--data", labels, "--out", tmp_path / "out")
    assert "COCO box AP" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="pictures"' in page
    report = tmp_path / "alone.html"
    verb("report", *results, "--data", labels, "--out", report)
    assert report.read_text().count("<svg") == page.count("<svg")


def test_whoever_imports_the_package_gets_tensors(labels: Path, results: list[Path]):
    main(["evaluate", str(results[0]), "--data", str(labels), "--bootstrap", "0"])
    assert isinstance(open_dataset(labels).annotations(0).boxes, torch.Tensor)


def test_names_of_coco_are_those_of_torchvision():
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert coco_names() == {i: n for i, n in enumerate(names) if i and n != "N/A"}

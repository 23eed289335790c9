"""Data sets in another format open as what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import coco_object, counts_of, voc_object, write_coco, write_image, write_voc
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import Dataset, open_dataset
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.data.outlines import one_polygon, rings
from dmaskrcnn.data.packed_masks import PackedMasks
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.convert import convert_dataset
from dmaskrcnn.output_folder import OutputFolder


def blob(seed: int) -> np.ndarray:
    """A mask ``(20, 30)`` of several parts, with holes, that fills its box."""
    mask = np.random.default_rng(seed).random((20, 30)) < 0.5
    mask[:3], mask[:, :2], mask[:, 25:] = False, False, False
    return mask


def rle_object(number: int, seed: int, **fields: Any) -> dict[str, Any]:
    mask = blob(seed)
    (y, x) = np.nonzero(mask)
    box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
    counts = {"size": [20, 30], "counts": counts_of(mask)}
    return coco_object(number, bbox=box, segmentation=counts, **fields)


POLYGON = [[2.25, 3.5, 12, 3.5, 12, 11, 5.75, 9]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Boxes, a polygon, run lengths, two polygons, a crowd, a difficult one, a negative image."""
    two = [[4, 4, 9, 4, 9, 9, 4, 9], [15, 4, 20, 4, 20, 9, 15, 9]]
    objects = [
        coco_object(1, bbox=[2.5, 3.25, 10.5, 8]),
        coco_object(2, bbox=[2.25, 3.5, 9.75, 7.5], segmentation=POLYGON, category=7),
        rle_object(3, 0, image=2),
        coco_object(4, image=2, bbox=[4, 4, 16, 5], segmentation=two, difficult=1),
        rle_object(5, 1, iscrowd=1),
    ]
    return write_coco(tmp_path / "coco", objects, images=3)


def table(data: Dataset, crowds: bool) -> list[tuple[Any, ...]]:
    """All objects, in order."""
    rows = []
    for image in range(len(data)):
        objects = data.annotations(image)
        for i in range(len(objects)):
            if crowds or not objects.crowd[i]:
                name = data.classes[objects.labels[i]]
                box = tuple(np.round(objects.boxes[i].tolist(), 4))
                rows.append((data.paths[image].name, name, box, objects.masks[i].numpy()))
    return rows


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]], masks: bool) -> None:
    assert [row[:3] for row in one] == [row[:3] for row in other]
    if masks:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[3], b[3])


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
@pytest.mark.parametrize("link", [False, True])
def test_round_trip(source: Path, tmp_path: Path, to: Any, link: bool) -> None:
    before = open_dataset(source)
    summary = convert_dataset([source], to, tmp_path / "out", link=link)
    after = open_dataset(tmp_path / "out")
    assert set(after.classes) == set(before.classes)
    same(table(before, to == "coco"), table(after, to == "coco"), masks=to != "voc")
    assert len(after) == 3
    for one, other in zip(before.paths, after.paths, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.samefile(other) == link
    lost = {what: count for what, count in summary.lost.items() if count}
    assert (
        lost
        == {
            "coco": {},
            "voc": {"masks lost: the format has boxes alone": 3, "crowd regions left out": 1},
            "yolo": {
                "masks of several parts or with holes joined to one polygon": 2,
                "flags `difficult` lost": 1,
                "crowd regions left out": 1,
            },
        }[to]
    )
    difficult = [bool(after.annotations(i).difficult.any()) for i in range(3)]
    assert difficult == ([False] * 3 if to == "yolo" else [False, True, False])
    # again: the same, and nothing of before is left
    source.write_text(source.read_text().replace("Motorbike", "bus"))
    convert_dataset([source], to, tmp_path / "out", link=link)
    assert set(open_dataset(tmp_path / "out").classes) == {"car", "bus"}


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    convert_dataset([source], "yolo", tmp_path / "yolo")
    convert_dataset([tmp_path / "yolo" / "data.yaml"], "coco", tmp_path / "back")
    before, after = open_dataset(tmp_path / "yolo"), open_dataset(tmp_path / "back")
    same(table(before, False), table(after, False), masks=True)


def test_outlines_are_the_mask() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = map(int, rng.integers(1, 20, 2))
        mask = rng.random((height, width)) < rng.random()
        mask[0, 0] = True
        polygon = one_polygon(rings(mask))
        polygons = [polygon + polygon[:2] * 2]
        (found,) = PackedMasks.of_segmentations(height, width, [polygons]).each_frame()
        np.testing.assert_array_equal(found, mask)


def test_names_that_clash_and_several_sources(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_voc(tmp_path / name, {"x": voc_object("car")})
    convert_dataset([tmp_path / "a", tmp_path / "b"], "yolo", tmp_path / "out")
    data = open_dataset(tmp_path / "out")
    assert len(data) == 2
    assert [len(data.annotations(i)) for i in range(2)] == [1, 1]


def test_boxes_in_a_picture_as_stored(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "in", [coco_object(1)], images=1)
    write_image(tmp_path / "in/images/001.png", orientation=6)
    before = open_dataset(path)
    assert before.size(0) == (20, 30)
    summary = convert_dataset([path], "yolo", tmp_path / "out")
    assert list(summary.lost.values())[-1] == 1
    after = open_dataset(tmp_path / "out")
    same(table(before, True), table(after, True), masks=False)
    assert decode_image(after.paths[0]).equal(before.load(0).image)


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_pictures_are_found_whatever_their_suffix(tmp_path: Path, to: Any) -> None:
    names = {"a.jfif": "JPEG", "a.gif": "GIF", "c": "PNG", "f.0001": "PNG", "f.0002": "GIF"}
    names |= {"a.png": "PNG", ".hidden.png": "PNG"}
    source = write_coco(tmp_path / "in", [coco_object(i + 1, i + 1) for i in range(7)], images=7)
    text = source.read_text()
    for number, (name, kind) in enumerate(names.items(), 1):
        picture = tmp_path / "in" / "images" / f"{number:03}.png"
        Image.open(picture).save(picture.with_name(name), kind)
        text = text.replace(picture.name, name)
    source.write_text(text)
    summary = convert_dataset([source], to, tmp_path / "out")
    before, after = open_dataset(source), open_dataset(tmp_path / "out")
    assert len(before) == len(after) == sum(len(after.annotations(i)) for i in range(7)) == 7
    pixels = [{data.load(i).image.numpy().tobytes() for i in range(7)} for data in (before, after)]
    assert pixels[0] == pixels[1]
    rewritten = [count for what, count in summary.lost.items() if "8-bit PNG" in what]
    assert rewritten == [0 if to == "coco" else 2]
    if to != "coco":
        kept = {"a.jpg", "a-2.png", "a-3.png", "c.png", "f.0001.png", "f.0002.png", "hidden.png"}
        assert {path.name for path in after.paths} == kept
        jpeg = next(path for path in after.paths if path.name == "a.jpg")
        assert jpeg.read_bytes() == (tmp_path / "in" / "images" / "a.jfif").read_bytes()


def test_what_cannot_be_converted(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labels to convert"):
        convert_dataset([source.parent / "images"], "voc", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other things"):
        convert_dataset([source], "voc", tmp_path / "full")
    thin = write_coco(tmp_path / "thin", [coco_object(1, bbox=[3, 3, 1, 5])], images=1)
    summary = convert_dataset([thin], "voc", tmp_path / "out")
    assert summary.lost["boxes of at most one pixel left out"] == 1
    assert len(open_dataset(tmp_path / "out").annotations(0)) == 0


def test_a_killed_conversion_is_repeated(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(OutputFolder, "write_text", fail)
        with pytest.raises(KeyboardInterrupt):
            convert_dataset([source], "yolo", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "convert.json").read_text())["complete"] is False
    convert_dataset([source], "yolo", tmp_path / "out")
    assert len(open_dataset(tmp_path / "out")) == 3


def test_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["convert", str(source), "--to", "voc", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "3 masks lost: the format has boxes alone" in said
    assert said.endswith(f"3 images, 5 objects: {tmp_path / 'out'}\n")
    far = tmp_path / "far"
    (source.parent / "images").rename(far)
    out = str(tmp_path / "other")
    main(["convert", str(source), "--images", str(far), "--to", "coco", "--out", out])
    assert len(open_dataset(out)) == 3
    with pytest.raises(SystemExit):
        main(["convert", "--to", "coco", "--out", out])


@pytest.mark.parametrize("name", ["classes.png", "a/Classes.png", "train.png", "data.yaml.png"])
def test_pictures_with_the_names_of_lists(tmp_path: Path, name: str) -> None:
    """YOLO's labels of classes.png would be classes.txt, which is the list of classes."""
    path = write_coco(tmp_path / "coco", [coco_object(1), coco_object(2, image=2)], images=2)
    content = json.loads(path.read_text())
    first = content["images"][0]
    pictures = path.parent / "images"
    (pictures / name).parent.mkdir(exist_ok=True)
    (pictures / first["file_name"]).rename(pictures / name)
    first["file_name"] = name
    path.write_text(json.dumps(content))
    convert_dataset([path], "yolo", tmp_path / "yolo")
    written = [file.name.lower() for file in (tmp_path / "yolo").rglob("*.txt")]
    assert len(written) == 2
    assert "classes.txt" not in written
    before, after = open_dataset(path), open_dataset(tmp_path / "yolo")
    assert sorted(r[2] for r in table(after, True)) == sorted(r[2] for r in table(before, True))

"""COCO's and Roboflow's folders, CVAT's XML, labelme's JSON files, pictures that lie elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import inspect, open_dataset, open_images
from dmaskrcnn.data.coco_images import set_image_folders
from dmaskrcnn.errors import UserError


def coco_json(folder: Path, name: str, pictures: Path, stem: str) -> Path:
    """A JSON about one picture, which may lie elsewhere."""
    write_coco(folder, [coco_object(1)], images=0, name=name)
    write_image(pictures / f"{stem}.png")
    data = json.loads((folder / name).read_text())
    data["images"] = [{"id": 1, "file_name": f"{stem}.png", "height": 20, "width": 30}]
    (folder / name).write_text(json.dumps(data))
    return folder / name


def test_coco(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        for kind in ("instances", "captions"):
            name = f"{kind}_{split}2017.json"
            coco_json(tmp_path / "annotations", name, tmp_path / f"{split}2017", split)
    for name, stem in (("train", "train"), ("val2017", "val"), ("valid", "val")):
        data = open_dataset(f"{tmp_path}:{name}")
        assert [path.stem for path in data.paths] == [stem]
    assert "split val2017" in str(inspect(f"{tmp_path}:val"))
    with pytest.raises(UserError, match=f"several COCO files.*or a split: {tmp_path}:val2017"):
        open_dataset(tmp_path)
    with pytest.raises(UserError, match="no split 'test' with labels"):
        open_dataset(f"{tmp_path}:test")


def test_roboflow(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        coco_json(tmp_path / split, "_annotations.coco.json", tmp_path / split, split)
    for name, stem in (("", "train"), (":val", "valid"), (":test", "test"), ("/test", "test")):
        assert [path.stem for path in open_dataset(f"{tmp_path}{name}").paths] == [stem]
    assert "Roboflow's layout, split train of test, train, valid" in str(inspect(tmp_path))


def test_pictures_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labels").mkdir()
    path = coco_json(tmp_path / "labels", "a.json", tmp_path / "far" / "away", "x")
    with pytest.raises(UserError, match="--images"):
        open_dataset(path)
    assert len(open_dataset(path, folders=[tmp_path / "far/away"])) == 1
    monkeypatch.setattr("dmaskrcnn.data.coco_images._folders", ())
    set_image_folders([tmp_path / "far/away"])
    assert len(open_dataset(path)) == len(open_images(path)) == 1
    write_image(tmp_path / "other" / "x.png", seed=5)
    set_image_folders([tmp_path / "far/away", tmp_path / "other"])
    with pytest.raises(UserError, match=r"'x\.png' is in .*away and in .*other"):
        open_dataset(path)
    set_image_folders([tmp_path / "none"])
    with pytest.raises(UserError, match=r"--images .*none: no such folder"):
        open_dataset(path)


# --- CVAT -----------------------------------------------------------------------------------------

SHAPES = (
    '<box label="car" xtl="2.5" ytl="3" xbr="10" ybr="12" occluded="0"></box>'
    '<polygon label="bus" points="2,2;10,2;10,9.5"></polygon>'
    '<mask label="car" rle="0, 2, 1, 3" left="4" top="5" width="3" height="2"></mask>'
)


def write_cvat(folder: Path, shapes: str = SHAPES, size: str = 'width="30" height="20"') -> Path:
    write_image(folder / "images" / "a.png")
    write_image(folder / "images" / "b.png", seed=1)
    path = folder / "annotations.xml"
    path.write_text(
        "<?xml version='1.0'?><annotations><version>1.1</version><meta><task><labels>"
        "<label><name>bus</name></label><label><name>car</name></label></labels></task></meta>"
        f'<image id="0" name="a.png" {size}>{shapes}</image>'
        '<image id="1" name="b.png" width="30" height="20"></image></annotations>'
    )
    return path


def test_cvat(tmp_path: Path) -> None:
    path = write_cvat(tmp_path)
    for place in (path, tmp_path):
        data = open_dataset(place)
        assert data.classes == ("bus", "car")
        assert data.image_ids == ["a", "b"]
    objects = data.annotations(0)
    assert objects.boxes.tolist() == [[2.5, 3, 10, 12], [2, 2, 10, 9.5], [4, 5, 7, 7]]
    assert objects.labels.tolist() == [1, 0, 1]
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:7, 4:7] = [[True, True, False], [True, True, True]]
    np.testing.assert_array_equal(objects.masks[2], mask)
    assert "CVAT XML, 2 images, labelled: 3 objects" in str(inspect(path))


def test_other_shapes_of_cvat(tmp_path: Path) -> None:
    turned = '<box label="car" xtl="10" ytl="8" xbr="20" ybr="12" rotation="90"/>'
    path = write_cvat(tmp_path, turned + '<polyline label="car" points="1,1;2,2"/>' * 2)
    data = open_dataset(path)
    np.testing.assert_allclose(data.annotations(0).boxes, [[13, 5, 17, 15]], atol=1e-5)
    assert [str(note) for note in data.notes] == [
        f"{path}: polyline: 2 of these: neither box, polygon nor mask"
    ]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<box label="car" xtl="2" ytl="x" xbr="9" ybr="9"/>', "image a.png: box 'car': xtl"),
        ('<box xtl="2" ytl="2" xbr="9" ybr="9"/>', "has no class name"),
        ('<box label="car" xtl="2" ytl="2" xbr="99" ybr="9"/>', "outside"),
        ('<polygon label="car" points="2,2;3"/>', "points are"),
        ('<polygon label="car" points="2,2;3,3"/>', "fewer than three points"),
        ('<mask label="car" rle="1, 9" left="4" top="5" width="3" height="2"/>', "does not cover"),
        ('<mask label="car" rle="6" left="4" top="5" width="3" height="2"/>', "covers no pixel"),
        ('<mask label="car" rle="6" left="4" top="5" width="99" height="2"/>', "outside"),
        ('<mask label="car" left="4" top="5" width="3" height="2"/>', "rle missing"),
    ],
)
def test_bad_shapes(tmp_path: Path, shapes: str, message: str) -> None:
    path = write_cvat(tmp_path, shapes)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(path)
    assert "\n" not in str(error.value)
    assert len(open_dataset(path, drop_invalid=True)) == 2


def test_bad_files_of_cvat(tmp_path: Path) -> None:
    path = write_cvat(tmp_path, size='width="31" height="20"')
    with pytest.raises(UserError, match=r"image a\.png: says 31x20, but a\.png is 30x20"):
        open_dataset(path)
    path = write_cvat(tmp_path, size='width="x" height="20"')
    with pytest.raises(UserError, match="not numbers of pixels"):
        open_dataset(path)
    path.write_text("<annotations><track id='0'/></annotations>")
    with pytest.raises(UserError, match="of a video; export"):
        open_dataset(path)
    path.write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><annotations>&a;</annotations>")
    with pytest.raises(UserError, match="entities"):
        open_dataset(path)
    path.write_text("<annotations><version>1.1</version></annotations>")
    with pytest.raises(UserError, match="lists no image"):
        open_dataset(path)
    path = write_cvat(tmp_path)
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(UserError, match=r"'a\.png' is neither beside the XML nor .*--images"):
        open_dataset(path)


# --- labelme --------------------------------------------------------------------------------------


def shape(kind: str, points: Any, label: Any = "car", group: Any = None) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind}


def write_labelme(folder: Path, shapes: list[Any], **fields: Any) -> Path:
    write_image(folder / "a.png")
    content = {"version": "5.4", "flags": {}, "shapes": shapes, "imagePath": "a.png"}
    content |= {"imageData": "x" * 99, "imageHeight": 20, "imageWidth": 30, **fields}
    (folder / "a.json").write_text(json.dumps(content))
    return folder


def test_labelme(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shapes = [
        shape("polygon", [[2, 2], [10, 2], [10, 9]], group=1),
        shape("rectangle", [[12, 14], [3.5, 5]], "Bus"),
        shape("circle", [[15, 10], [15, 15]]),
        shape("polygon", [[20, 2], [28, 2], [28, 9]], group=1),
        shape("line", [[1, 1], [2, 2]]),
    ]
    folder = write_labelme(tmp_path, shapes)
    write_image(tmp_path / "b.png", seed=1)
    data = open_dataset(folder)
    assert data.classes == ("bus", "car")
    objects = data.annotations(0)
    np.testing.assert_allclose(
        objects.boxes, [[2, 2, 28, 9], [3.5, 5, 12, 14], [10, 5, 20, 15]], atol=0.05
    )
    assert objects.has_mask.tolist() == [True, False, True]
    assert abs(int(objects.masks[2].sum()) - 25 * np.pi) < 6
    assert {note.kind for note in data.notes} == {"not read", "not annotated"}
    assert "shapes that are not read count as background (line)" in caplog.text
    assert "labelme, 1 images, labelled: 3 objects" in str(inspect(folder))


@pytest.mark.parametrize(
    ("shapes", "fields", "message"),
    [
        ([7], {}, r"shapes\[0\]: is 7, not an object"),
        ([shape("polygon", [[1, 2], [3]])], {}, r"shapes\[0\]\.points"),
        ([shape("polygon", None)], {}, "missing: not"),
        ([shape("polygon", [[1, 1], [9, 9], ["a", 3]])], {}, "points"),
        ([shape("polygon", [[1, 1], [9, 9], [9, 1e300]])], {}, "outside"),
        ([shape("polygon", [[1, 1], [9, 9], [9, 2]], None)], {}, "has no class name"),
        ([shape("rectangle", [[1, 1]])], {}, "1 points are no rectangle"),
        ([shape("rectangle", [[1, 1], [99, 9]])], {}, "outside"),
        ([shape("circle", [[1, 1]])], {}, "not the centre"),
        ([], {"imagePath": 3}, "imagePath: is 3"),
        ([], {"imageHeight": "x"}, "imageHeight: is 'x'"),
        ([], {"imageHeight": 21}, "says 30x21, but a.png is 30x20"),
    ],
)
def test_bad_labelme(
    tmp_path: Path, shapes: list[Any], fields: dict[str, Any], message: str
) -> None:
    folder = write_labelme(tmp_path, shapes, **fields)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(folder)
    assert "\n" not in str(error.value)
    assert str(folder / "a.json") in str(error.value)


def test_labelme_moved(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path, [], imagePath="C:\\pictures\\a.png", imageHeight=None)
    assert len(open_dataset(folder)) == 1
    (folder / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.json: imagePath: no such picture"):
        open_dataset(folder)


def test_labelme_elsewhere(tmp_path: Path) -> None:
    folder = write_labelme(tmp_path / "set", [])
    write_image(tmp_path / "far" / "a.png", seed=1)
    content = json.loads((folder / "a.json").read_text())
    content["imagePath"] = str(tmp_path / "far" / "a.png")
    (folder / "b.json").write_text(json.dumps(content))
    assert open_dataset(folder).image_ids == ["a.png", "../far/a.png"]

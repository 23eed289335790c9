"""Mask and box agree, or it is said; polygons are read in the shapes that tools write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import coco_object, compressed, counts_of, write_coco

from dmaskrcnn.data import inspect, open_dataset
from dmaskrcnn.errors import UserError

CORNERS = [[4, 5], [14, 5], [14, 12], [4, 12]]
FLAT = [v for point in CORNERS for v in point]
BOX = (4, 5, 10, 7)


def mask_of(folder: Path, segmentation: Any, **fields: Any) -> np.ndarray:
    fields = {"bbox": BOX} | fields
    found = open_dataset(
        write_coco(folder, [coco_object(11, segmentation=segmentation, **fields)])
    ).annotations(0)
    assert found.has_mask.tolist() == [True]
    return found.masks[0].numpy()


@pytest.mark.parametrize(
    "segmentation",
    [
        [CORNERS],
        CORNERS,
        [[[float(v) for v in point] for point in CORNERS]],
        [FLAT, [1, 1]],
        [FLAT, [1, 1, 2, 2], []],
        [[str(v) for v in FLAT]],
    ],
)
def test_polygons_are_read_in_any_nesting(tmp_path: Path, segmentation: Any) -> None:
    assert np.array_equal(mask_of(tmp_path / "a", segmentation), mask_of(tmp_path / "b", [FLAT]))


@pytest.mark.parametrize("corners", [3, 4, 5, 6])
def test_nested_polygons_keep_their_mask_whatever_their_number_of_points(
    tmp_path: Path, corners: int
) -> None:
    angles = np.arange(corners) * 2 * np.pi / corners
    points = np.stack([15 + 8 * np.cos(angles), 10 + 8 * np.sin(angles)], 1).tolist()
    assert mask_of(tmp_path, [points], bbox=(7, 2, 16, 16)).sum() > 70


EMPTY = {
    "on a line": [[10, 8, 15, 8, 20, 8]],
    "nested on a line": [[[10, 8], [15, 8], [20, 8]]],
    "on a slope": [[5, 5, 8, 8, 11, 11]],
    "one point thrice": [[5, 5, 5, 5, 5, 5]],
    "two points": [[4, 5, 14, 12]],
    "one point": [[4, 5]],
    "outside": [[31, 2, 35, 2, 35, 8]],
    "listed runs": {"size": [20, 30], "counts": [600]},
    "packed runs": {"size": [20, 30], "counts": compressed([600])},
    "no runs": {"size": [20, 30], "counts": ""},
}


@pytest.mark.parametrize("case", EMPTY)
def test_what_covers_nothing_is_no_mask(tmp_path: Path, case: str) -> None:
    path = write_coco(tmp_path, [coco_object(11, segmentation=EMPTY[case])])
    with pytest.raises(UserError, match=r"annotations\[id=11\]\.segmentation: .*remove it"):
        open_dataset(path)
    left = open_dataset(path, drop_invalid=True).annotations(0)
    assert left.has_mask.tolist() == [False]  # and the box stays


def test_a_polygon_smaller_than_a_pixel_is_noted(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_object(11, segmentation=[[3.1, 4.1, 3.2, 4.1, 3.2, 4.2]])])
    data = open_dataset(path)
    assert data.annotations(0).has_mask.tolist() == [False]
    assert [note.kind for note in data.notes] == ["tiny mask"]


def test_a_polygon_that_crosses_itself_is_a_mask(tmp_path: Path) -> None:
    bow = [[4, 5, 14, 15, 14, 5, 4, 15]]  # its signed area is zero
    assert mask_of(tmp_path, bow, bbox=(4, 5, 10, 10)).any()


@pytest.mark.parametrize("segmentation", [None, [], {}, [[]]])
def test_empty_fields_are_boxes_only(tmp_path: Path, segmentation: Any) -> None:
    path = write_coco(tmp_path, [coco_object(11, segmentation=segmentation)])
    assert open_dataset(path).annotations(0).has_mask.tolist() == [False]


NO_MASK: dict[str, Any] = {
    "text": "",
    "zero": 0,
    "no": False,
    "points as objects": [[{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 3, "y": 9}]],
    "true as number": [[1, 2, 3, 4, True, 6]],
    "words": [["a", "b", "c", "d", "e", "f"]],
    "too deep": [[CORNERS]],
    "true as run": {"size": [20, 30], "counts": [599, True]},
    "true as size": {"size": [True, 30], "counts": [30]},
    "number as counts": {"size": [20, 30], "counts": 600},
    "text as size": {"size": ["20", "30"], "counts": [600]},
    "runs as text": {"size": [20, 30], "counts": "[600]"},
}


@pytest.mark.parametrize("case", NO_MASK)
def test_other_types_are_refused(tmp_path: Path, case: str) -> None:
    path = write_coco(tmp_path, [coco_object(11, segmentation=NO_MASK[case])])
    with pytest.raises(UserError, match=r"annotations\[id=11\]\.segmentation"):
        open_dataset(path)


@pytest.mark.parametrize("bbox", [None, []])
@pytest.mark.parametrize("kind", ["polygon", "runs", "packed"])
def test_a_mask_without_a_box_gives_one(tmp_path: Path, bbox: Any, kind: str) -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:12, 4:14] = True
    counts = counts_of(mask)
    segmentation = {
        "polygon": [FLAT],
        "runs": {"size": [20, 30], "counts": counts},
        "packed": {"size": [20, 30], "counts": compressed(counts)},
    }[kind]
    path = write_coco(tmp_path, [coco_object(11, segmentation=segmentation) | {"bbox": bbox}])
    data = open_dataset(path)
    assert data.annotations(0).boxes.tolist() == [[4, 5, 14, 12]]
    assert [note.kind for note in data.notes] == ["box of mask"]


def test_corners_instead_of_sizes_are_found(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_object(11, bbox=(4, 5, 14, 12), segmentation=[FLAT])])
    with pytest.raises(UserError, match=r"bbox.* mask.*disagree; is bbox x1, y1, x2, y2"):
        open_dataset(path)
    # also where the sizes reach out of the picture, and without a mask
    path = write_coco(tmp_path, [coco_object(11, bbox=(20, 5, 28, 12))])
    with pytest.raises(UserError, match=r"outside.*is bbox x1, y1, x2, y2"):
        open_dataset(path)


def test_a_box_far_from_its_mask_is_noted(tmp_path: Path) -> None:
    objects = [
        coco_object(1, bbox=BOX, segmentation=[FLAT]),
        coco_object(2, bbox=(4, 5, 12, 8), segmentation=[FLAT]),  # a little larger
        coco_object(3, bbox=(4, 5, 24, 14), segmentation=[FLAT]),  # amodal, or wrong
        coco_object(4, bbox=(4, 5, 24, 14), segmentation=[FLAT], iscrowd=1),
    ]
    found = inspect(write_coco(tmp_path, objects))
    assert found.problems == []
    assert [(n.kind, n.field) for n in found.notes if n.kind == "box and mask"] == [
        ("box and mask", "annotations[id=3].bbox")
    ]

"""What there is to learn is counted and said; nothing to learn is never accepted in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_files import coco_object, voc_object, write_coco, write_image, write_voc

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import describe_learnable, inspect, open_dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.loop import train

SQUARE = [[2, 3, 12, 3, 12, 11, 2, 11]]


def test_objects_are_counted_per_class(tmp_path: Path) -> None:
    objects = [
        coco_object(1, segmentation=SQUARE),
        coco_object(2),
        coco_object(3, segmentation=SQUARE, iscrowd=1),
        coco_object(4, category=7, iscrowd=1),
    ]
    path = write_coco(tmp_path, objects)
    learnable = describe_learnable(open_dataset(path))
    assert learnable.per_class == ["car 2 (1 with masks)"]
    (warning,) = learnable.warnings
    assert "nothing to learn of motorcycle: all its 1 objects are crowd" in warning
    found = inspect(path)
    assert [n.field for n in found.notes if n.kind == "nothing to learn"] == ["motorcycle"]
    assert "to learn" in str(found)


def test_classes_that_only_some_sources_label_are_told(tmp_path: Path) -> None:
    both = write_coco(tmp_path / "a", [coco_object(1), coco_object(2, category=7)])
    cars = write_voc(tmp_path / "b", {"a": voc_object("car")})
    none = write_coco(tmp_path / "c", [])
    warnings = describe_learnable(open_dataset(both, cars, none)).warnings
    assert len(warnings) == 2
    assert f"{cars} (1 images) has no motorcycle" in warnings[0]
    assert "background" in warnings[0]
    assert f"{none} (2 images) has no car, motorcycle" in warnings[1]
    assert describe_learnable(open_dataset(both, cars, classes=["car"])).warnings == []


NOTHING: dict[str, Callable[[Path], Path]] = {
    "crowd": lambda folder: write_coco(folder, [coco_object(1, iscrowd=1)]),
    "no object": lambda folder: write_coco(folder, []),
    "no class": lambda folder: write_coco(folder, [], categories=[]),
    "VOC": lambda folder: write_voc(folder, {"a": ""}),
}


@pytest.mark.parametrize("case", NOTHING)
def test_training_on_nothing_is_refused(
    tmp_path: Path, tiny: Callable[..., TrainConfig], case: str
) -> None:
    source = NOTHING[case](tmp_path / "set")
    with pytest.raises(UserError, match=r"nothing to learn|no object") as error:
        open_data(tiny(method="source", source=(source,)))
    assert str(source) in str(error.value)


def test_training_says_what_it_learns(
    tmp_path: Path, tiny: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [coco_object(1, bbox=(2, 3, 20, 15)), coco_object(2, category=7, iscrowd=True)]
    config = tiny(method="source", source=(write_coco(tmp_path, objects),), iterations=1, warmup=0)
    train(config)
    said = capsys.readouterr().err.splitlines()
    what = "2 source and 0 target images; to learn: car 1 (0 with masks)"
    (first,) = [number for number, line in enumerate(said) if line.endswith(what)]
    assert said[first + 1].startswith("warning: --source: nothing to learn of motorcycle")
    # asked for by name, but no object has it
    with pytest.raises(UserError, match="nothing to learn of motorcycle"):
        train(replace(config, classes=("motorcycle",)))


def with_categories(folder: Path, categories: list[dict[str, Any]], used: int) -> Path:
    return write_coco(folder, [coco_object(1, category=used)], categories=categories)


def test_a_root_category_is_no_class(tmp_path: Path) -> None:
    root = {"id": 0, "name": "vehicles", "supercategory": "none"}
    car = {"id": 1, "name": "car", "supercategory": "vehicles"}
    data = open_dataset(with_categories(tmp_path / "a", [root, car], used=1))
    assert (data.classes, data.category_ids) == (("car",), (1,))
    assert [n.kind for n in data.notes] == ["no class"]
    # with objects, or without children, it is one like any other
    data = open_dataset(with_categories(tmp_path / "b", [root, car], used=0))
    assert data.classes == ("vehicles", "car")
    lone = [root, car | {"supercategory": "none"}]
    assert open_dataset(with_categories(tmp_path / "c", lone, used=1)).classes == (
        "vehicles",
        "car",
    )


def test_of_two_ids_of_a_name_the_annotated_one_counts(tmp_path: Path) -> None:
    twice = [{"id": 0, "name": "car"}, {"id": 1, "name": "Car"}]
    data = open_dataset(with_categories(tmp_path, twice, used=1))
    assert (data.classes, data.category_ids) == (("car",), (1,))


FLAGS = {
    "0": False,
    "false": False,
    " False ": False,
    "1": True,
    "true": True,
    0: False,
    1: True,
    None: False,
}


@pytest.mark.parametrize("value", FLAGS)
@pytest.mark.parametrize("field", ["iscrowd", "difficult"])
def test_flags(tmp_path: Path, value: Any, field: str) -> None:
    data = open_dataset(write_coco(tmp_path, [coco_object(1, **{field: value})]))
    name = "crowd" if field == "iscrowd" else field
    assert getattr(data.annotations(0), name).tolist() == [FLAGS[value]]
    assert [n.kind for n in data.notes] == (["text"] if isinstance(value, str) else [])


@pytest.mark.parametrize("value", ["", "no", "2", 2, -1, 0.5, float("nan"), [], {}, [0]])
@pytest.mark.parametrize("field", ["iscrowd", "difficult"])
def test_unclear_flags_are_problems(tmp_path: Path, value: Any, field: str) -> None:
    path = write_coco(tmp_path, [coco_object(11, **{field: value})])
    with pytest.raises(UserError, match=rf"annotations\[id=11\]\.{field}: is .*neither 0 nor 1"):
        open_dataset(path)


def test_unclear_flags_of_voc(tmp_path: Path) -> None:
    def folder(name: str, text: str) -> Path:
        extra = f"<difficult>{text}</difficult>"
        return write_voc(tmp_path / name, {"a": voc_object("car", extra=extra)})

    assert open_dataset(folder("a", " true ")).annotations(0).difficult.tolist() == [True]
    assert open_dataset(folder("b", "")).annotations(0).difficult.tolist() == [False]
    with pytest.raises(UserError, match=r"a\.xml: object 1\.difficult: is 'maybe'"):
        open_dataset(folder("c", "maybe"))


def test_pictures_without_labels_say_what_lies_beside_them(
    tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    kitti = "Car 0 0 -1.57 5 4 9 8 2.8 2.6 12.3 0.4 1.4 69.4 -1.5\n"
    (tmp_path / "labels" / "a.txt").write_text(kitti)
    with pytest.raises(UserError, match=r"no labels.*looks like KITTI"):
        open_data(tiny(method="source", source=(tmp_path / "images",)))
    assert "looks like KITTI" in str(inspect(tmp_path))
    assert json.dumps([n.kind for n in inspect(tmp_path).notes]) == '["labels not read"]'

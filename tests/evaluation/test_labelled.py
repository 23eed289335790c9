"""Which classes of a test set are scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from data_files import coco_object, write_coco
from evaluation_cases import save_detector

from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_shared_test_set, open_test_set
from dmaskrcnn.run import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_detector(tmp_path_factory.mktemp("runs") / "first", "car", "person", "train")


def test_classes_meet_by_name(tmp_path: Path):
    path = write_coco(tmp_path, [coco_object(1), coco_object(2, category=7)])
    assert open_test_set(path).data.classes == ("car", "motorcycle")
    test = open_test_set(path, known=("Motorbike", "dog"))
    assert test.data.classes == ("motorcycle",)
    assert test.category_ids == {"car": 3, "motorcycle": 7}
    test = open_test_set([path], ["motorbike"], ("car", "motorcycle"))
    assert test.data.classes == ("motorcycle",)


def test_unknown_classes(tmp_path: Path):
    path = write_coco(tmp_path, [coco_object(1)])
    with pytest.raises(
        UserError, match="--classes dog: the detector does not know it; it knows car"
    ):
        open_test_set(path, ["dog"], ("car",))
    with pytest.raises(UserError, match="--classes: no dog in the data; there is: car, motorcycle"):
        open_test_set(path, ["dog"], ("dog",))
    with pytest.raises(
        UserError, match=r"has no class that the detector knows \(car, motorcycle against dog\)"
    ):
        open_test_set(path, known=("dog",))


def test_without_labels(hazy: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"holds images but no labels .*dmaskrcnn predict"):
        open_test_set(hazy)
    with pytest.raises(UserError, match="no such file or folder"):
        open_test_set(tmp_path / "gone")


def test_classes_that_several_runs_share(run: Path, clear: Path, tmp_path: Path):
    cars, boats = (
        save_detector(tmp_path / "cars", "bus", "car"),
        save_detector(tmp_path / "boats", "boat"),
    )

    def shared(*runs: Path, classes: Sequence[str] = ()) -> tuple[str, ...]:
        return open_shared_test_set(list(map(open_run, runs)), [clear], classes).data.classes

    assert set(shared(run)) == {"car", "person"}
    assert shared(run, cars) == ("car",)
    assert shared(run, cars, classes=["car"]) == ("car",)
    with pytest.raises(
        UserError, match="boats: has no class in common with the runs before it: boat; "
    ):
        shared(run, boats)
    with pytest.raises(
        UserError, match=f"--classes person: {cars} does not know it; it knows bus, car"
    ):
        shared(run, cars, classes=["person"])
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        shared(run, tmp_path / "gone.json")
    with pytest.raises(
        UserError, match=r"model\.json: not found; give the folder of a training run"
    ):
        shared(run, tmp_path / "gone")


@pytest.mark.parametrize("iscrowd", [1, None])
def test_nothing_to_score_is_refused(tmp_path: Path, iscrowd: int | None):
    path = write_coco(tmp_path, [coco_object(1, iscrowd=iscrowd)] if iscrowd else [])
    with pytest.raises(UserError, match="nothing to score: no object of car"):
        open_test_set(path)

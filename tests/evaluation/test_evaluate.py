from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from data_files import coco_object, write_coco, write_image
from disk import contents, full_disk

from dmaskrcnn import Detector, evaluate, open_dataset, paired_difference
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import evaluate_to, predictions
from dmaskrcnn.evaluation.test_set import classes_to_score, open_test_set
from dmaskrcnn.run import folder_name, output_folders, which_weights

CONFIG = DetectorConfig(
    backbone="resnet18",
    fpn_channels=16,
    box_head_width=16,
    mask_head_layers=1,
    image_size=64,
    max_size=96,
    max_detections=8,
)


def save_detector(folder: Path, *classes: str) -> Path:
    """An untrained detector, which finds something everywhere."""
    torch.manual_seed(0)
    Detector(classes, CONFIG).save(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_detector(tmp_path_factory.mktemp("runs") / "first", "car", "person", "train")


@pytest.fixture
def clear_copy(clear: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clear, tmp_path / "clear"))


def broken_picture(data: Path) -> Path:
    picture = sorted((data / "images").iterdir())[-1]
    picture.write_bytes(picture.read_bytes()[:300])
    return picture


class TestEvaluate:
    def test_saved_predictions_give_the_same_scores(self, run: Path, clear: Path, tmp_path: Path):
        results = tmp_path / "predictions.json"
        ours = evaluate(run, clear, results=results, bootstrap=20)
        again = evaluate(results, clear, classes=tuple(ours.objects), bootstrap=20)
        assert ours.to_dict() == again.to_dict()
        assert set(ours.objects) == {"car", "person"}  # the scenes know no train
        assert {e["score"] > 0 for e in json.loads(results.read_text())} == {True}
        assert all(
            d.value == 0 for d in paired_difference(ours, again).values() if d.value == d.value
        )

    def test_saved_predictions_do_not_depend_on_the_classes_scored(
        self, run: Path, clear: Path, tmp_path: Path
    ):
        """Otherwise an id of a class that was not scored would be another class's the next time."""
        whole, part = tmp_path / "whole.json", tmp_path / "part.json"
        both = evaluate(run, clear, results=whole, bootstrap=0)
        cars = evaluate(run, clear, classes=["car"], results=part, bootstrap=0)
        assert whole.read_bytes() == part.read_bytes()
        assert cars["box/AP50/car"].value == both["box/AP50/car"].value
        from_file = evaluate(whole, clear, classes=["car"], bootstrap=0)
        assert from_file.to_dict() == cars.to_dict()

    def test_open_data_and_detector_are_taken_as_they_are(self, run: Path, clear: Path):
        detector = Detector.load(run)
        scores = evaluate(detector, open_dataset(clear, classes=["person"]), bootstrap=0)
        assert list(scores.objects) == ["person"]
        assert scores.images == 6

    def test_batches_do_not_change_what_is_found(self, run: Path, clear: Path):
        detector, data = Detector.load(run, "cpu", "float32"), open_dataset(clear)
        one, four = (list(predictions(detector, data, batch_size)) for batch_size in (1, 4))
        assert len(one) == len(four) == 6
        for a, b in zip(one, four, strict=True):
            torch.testing.assert_close(a.scores, b.scores, atol=1e-4, rtol=1e-3)

    @pytest.mark.parametrize(
        ("option", "value"), [("batch_size", 0), ("bootstrap", -1), ("seed", -1)]
    )
    def test_bad_numbers(self, run: Path, clear: Path, option: str, value: int):
        with pytest.raises(UserError, match=f"--{option.replace('_', '-')} must be at least"):
            evaluate(run, clear, **{option: value})  # pyright: ignore[reportArgumentType]


class TestEarlierOutput:
    """Whatever goes wrong, the predictions of the evaluation before stay."""

    @pytest.fixture
    def out(self, run: Path, clear: Path, tmp_path: Path) -> Path:
        evaluate_to(tmp_path / "out", run, [clear], bootstrap=10)
        assert set(contents(tmp_path / "out")) == {"predictions.json", "scores.json"}
        return tmp_path / "out"

    def test_twice_gives_the_same_files(self, run: Path, clear: Path, out: Path):
        before = contents(out)
        evaluate_to(out, run, [clear], bootstrap=10)
        assert contents(out) == before

    def test_results_json_leaves_its_own_file_alone(self, clear: Path, out: Path):
        before = contents(out)
        evaluate_to(None, out / "predictions.json", [clear], bootstrap=10)
        assert contents(out) == before

    def test_full_disk(self, run: Path, clear: Path, out: Path):
        before = contents(out)
        with (
            full_disk(1000),
            pytest.raises(UserError, match=r"predictions\.json: cannot be written"),
        ):
            evaluate_to(out, run, [clear], bootstrap=10)
        assert contents(out) == before

    def test_truncated_picture(self, run: Path, clear_copy: Path, out: Path):
        before = contents(out)
        picture = broken_picture(clear_copy)
        with pytest.raises(UserError, match=f"{picture.name}: cannot read the picture"):
            evaluate_to(out, run, [clear_copy], bootstrap=10)
        assert contents(out) == before

    def test_folder_is_tried_before_the_work(
        self, run: Path, clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(
            Detector, "predict", lambda *_, **__: pytest.fail("predicted for nothing")
        )
        (tmp_path / "file").write_text("in the way")
        for results in (tmp_path / "file" / "out", tmp_path / "file"):
            with pytest.raises(UserError, match=r"cannot be written .*choose another folder"):
                evaluate_to(results, run, [clear], bootstrap=10)
        with pytest.raises(UserError, match=r"cannot be written .*choose another folder"):
            evaluate(run, clear, results=tmp_path / "file" / "predictions.json")


class TestTestSet:
    def test_classes_meet_by_name(self, tmp_path: Path):
        path = write_coco(tmp_path, [coco_object(1), coco_object(2, category=7)])
        assert open_test_set(path)[0].classes == ("car", "motorcycle")
        data, ids = open_test_set(path, known=("Motorbike", "dog"))
        assert data.classes == ("motorcycle",)
        assert ids == {"car": 3, "motorcycle": 7}
        assert open_test_set([path], ["motorbike"], ("car", "motorcycle"))[0].classes == (
            "motorcycle",
        )

    def test_unknown_classes(self, tmp_path: Path):
        path = write_coco(tmp_path, [coco_object(1)])
        with pytest.raises(
            UserError, match="--classes dog: the detector does not know it; it knows car"
        ):
            open_test_set(path, ["dog"], ("car",))
        with pytest.raises(
            UserError, match="--classes: no dog in the data; there is: car, motorcycle"
        ):
            open_test_set(path, ["dog"], ("dog",))
        with pytest.raises(
            UserError, match=r"has no class that the detector knows \(car, motorcycle against dog\)"
        ):
            open_test_set(path, known=("dog",))

    def test_without_labels(self, hazy: Path, tmp_path: Path):
        with pytest.raises(UserError, match=r"holds images but no labels .*dmaskrcnn predict"):
            open_test_set(hazy)
        with pytest.raises(UserError, match="no such file or folder"):
            open_test_set(tmp_path / "gone")

    def test_classes_of_several_runs(self, run: Path, clear: Path, tmp_path: Path):
        cars, boats = (
            save_detector(tmp_path / "cars", "bus", "car"),
            save_detector(tmp_path / "boats", "boat"),
        )
        assert set(classes_to_score([run], [clear])) == {"car", "person"}
        assert classes_to_score([run, cars], [clear]) == ("car",)
        assert classes_to_score([run, cars], [clear], ["car"]) == ("car",)
        with pytest.raises(
            UserError, match="boats: has no class in common with the runs before it: boat; "
        ):
            classes_to_score([run, boats], [clear])
        with pytest.raises(
            UserError, match=f"--classes person: {cars} does not know it; it knows bus, car"
        ):
            classes_to_score([run, cars], [clear], ["person"])
        with pytest.raises(UserError, match=r"gone\.json: no such file"):
            classes_to_score([run, tmp_path / "gone.json"], [clear])
        with pytest.raises(
            UserError, match=r"model\.json: not found; give the folder of a training run"
        ):
            classes_to_score([run, tmp_path / "gone"], [clear])


class TestResultsOfOthers:
    ENTRY = {"image_id": 1, "category_id": 3, "bbox": [2, 3, 10, 8], "score": 0.9}

    def test_boxes_of_any_detector(self, tmp_path: Path):
        data = write_coco(tmp_path, [coco_object(1)])
        results = tmp_path / "results.json"
        results.write_text(json.dumps([self.ENTRY]))
        assert evaluate(results, data, bootstrap=0)["box/AP50/car"].value == pytest.approx(1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"image_id": 77}, "image_id 77 is not in the data set"),
            ({"category_id": 5}, "category_id 5 is not in the data set"),
            ({"bbox": [1, 2, float("nan"), 3]}, "finite numbers"),
            ({"score": 7}, "between 0 and 1"),
            (
                {"segmentation": {"size": [9, 9], "counts": [40, 41]}},
                "predicted masks are 9×9 pixels, the annotated ones 30×20",
            ),
        ],
    )
    def test_bad_entries(self, tmp_path: Path, change: dict, message: str):
        data = write_coco(tmp_path, [coco_object(1, segmentation=[[2, 3, 12, 3, 12, 11]])])
        results = tmp_path / "results.json"
        results.write_text(json.dumps([self.ENTRY | change]))
        with pytest.raises(UserError) as error:
            evaluate(results, data, bootstrap=0)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_output_folders(tmp_path: Path):
    data = [Path("fog/test")]
    a, b, other = Path("a/grl-1"), Path("b/grl-1"), Path("a/results.json")
    assert output_folders([a, other], data, None) == [a / "evaluate-fog-test", None]
    assert output_folders([a], data, tmp_path) == [tmp_path]
    assert output_folders([a, other], data, tmp_path) == [tmp_path / "grl-1", tmp_path / "results"]
    assert output_folders([a, b], data, tmp_path) == [tmp_path / "a-grl-1", tmp_path / "b-grl-1"]
    twice = output_folders([a, a], data, tmp_path)
    assert len(set(twice)) == 2
    assert output_folders([Path("run-0.1"), Path("run-0.2")], data, tmp_path) == [
        tmp_path / "run-0.1",
        tmp_path / "run-0.2",
    ]


def test_folder_name():
    assert folder_name([Path("/data/dawn fog/test/")]) == "dawn-fog-test"
    assert (
        folder_name([Path("coco/instances_val.json"), Path("/fog-1.5")])
        == "coco-instances_val-fog-1.5"
    )
    assert folder_name([Path(".")]) == folder_name([Path.cwd()])
    assert folder_name([Path("/")]) == "data"


def test_picture_of_another_size_than_annotated(run: Path, tmp_path: Path):
    data = write_coco(tmp_path, [coco_object(1)])
    write_image(tmp_path / "images" / "001.png", 40, 50)
    with pytest.raises(UserError, match="the picture is 50x40 but its annotations say 30x20"):
        evaluate(run, data, bootstrap=0)


def test_the_weights_scored_are_named(run: Path, tmp_path: Path):
    detector = Detector.load(run)
    for method, weights, finished, expected in (
        ("teacher", "ema", True, "the teacher: averaged weights (EMA), iteration 1,500"),
        ("source", "ema", False, "averaged weights (EMA), iteration 1,500, training not finished"),
        ("teacher", "last", True, "weights of the last iteration, iteration 1,500"),
    ):
        detector.save(tmp_path, method=method, weights=weights, iteration=1500, finished=finished)
        assert which_weights(tmp_path) == expected
    assert (
        which_weights(run)
        == which_weights(tmp_path / "missing")
        == which_weights(tmp_path / "model.json")
        == ""
    )

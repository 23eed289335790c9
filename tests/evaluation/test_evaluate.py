from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from data_files import coco_object, write_coco, write_image
from disk import contents, full_disk
from evaluation_cases import save_detector

from dmaskrcnn import Detector, evaluate, open_dataset, paired_difference
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.evaluate import evaluate_to, predictions
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.run import Run, open_run


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

    def test_low_scores_count(self, run: Path, clear: Path, tmp_path: Path):
        detector = Detector.load(run)
        detector.config = replace(detector.config, min_score=0.9)
        detector.roi_heads.score_thresh = 0.9  # an untrained one is never so sure
        assert [len(d) for d in predictions(detector, open_dataset(clear), min_score=0.9)] == [
            0
        ] * 6
        results = tmp_path / "found.json"
        evaluate(detector, clear, results=results, bootstrap=0)
        found = json.loads(results.read_text())
        assert len(found) == 6 * 8
        assert max(one["score"] for one in found) < 0.9
        assert any("segmentation" in one for one in found)
        picture = sorted((clear / "images").iterdir())[0]
        assert len(detector.predict(picture, threshold=0.0)) == 0  # elsewhere as it was

    def test_masks_are_made_where_there_are_some_to_compare_with(self, run: Path, tmp_path: Path):
        detector = Detector.load(run)
        boxes = open_dataset(write_coco(tmp_path, [coco_object(1)]))
        scores = torch.cat([d.scores for d in predictions(detector, boxes)])
        least = float(scores.median())
        detector.config = replace(detector.config, min_score=least)
        found = list(predictions(detector, boxes))
        made = torch.cat([d.masks.flatten(1).any(1) for d in found])
        torch.testing.assert_close(torch.cat([d.scores for d in found]), scores)
        assert made[scores >= least].any()
        assert not made[scores < least].any()

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
        evaluate_to(tmp_path / "out", Run(run), open_test_set([clear]), bootstrap=10)
        assert set(contents(tmp_path / "out")) == {"predictions.json", "scores.json"}
        return tmp_path / "out"

    def test_twice_gives_the_same_files(self, run: Path, clear: Path, out: Path):
        before = contents(out)
        evaluate_to(out, Run(run), open_test_set([clear]), bootstrap=10)
        assert contents(out) == before

    def test_results_json_leaves_its_own_file_alone(self, clear: Path, out: Path):
        before = contents(out)
        evaluate_to(None, open_run(out / "predictions.json"), open_test_set([clear]), bootstrap=10)
        assert contents(out) == before

    def test_full_disk(self, run: Path, clear: Path, out: Path):
        before = contents(out)
        with (
            full_disk(1000),
            pytest.raises(UserError, match=r"predictions\.json: cannot be written"),
        ):
            evaluate_to(out, Run(run), open_test_set([clear]), bootstrap=10)
        assert contents(out) == before

    def test_truncated_picture(self, run: Path, clear_copy: Path, out: Path):
        before = contents(out)
        picture = broken_picture(clear_copy)
        with pytest.raises(UserError, match=f"{picture.name}: cannot read the picture"):
            evaluate_to(out, Run(run), open_test_set([clear_copy]), bootstrap=10)
        assert contents(out) == before

    @pytest.mark.parametrize("name", ["predictions.json", "scores.json"])
    def test_files_of_others_stay(self, run: Path, clear: Path, tmp_path: Path, name: str):
        (tmp_path / name).write_text('[{"image_id": 7}]\n')
        before = contents(tmp_path)
        with pytest.raises(UserError, match=f"{name}: exists and was not written by"):
            evaluate_to(tmp_path, Run(run), open_test_set([clear]), bootstrap=10)
        assert contents(tmp_path) == before

    def test_folder_is_tried_before_the_work(
        self, run: Path, clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(
            Detector, "predict", lambda *_, **__: pytest.fail("predicted for nothing")
        )
        (tmp_path / "file").write_text("in the way")
        for results in (tmp_path / "file" / "out", tmp_path / "file"):
            with pytest.raises(UserError, match=r"cannot be written .*choose another folder"):
                evaluate_to(results, Run(run), open_test_set([clear]), bootstrap=10)
        with pytest.raises(UserError, match=r"cannot be written .*choose another folder"):
            evaluate(run, clear, results=tmp_path / "file" / "predictions.json")


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
                "segmentation has the size [9, 9], its picture [20, 30] (height, width)",
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


def test_picture_of_another_size_than_annotated(run: Path, tmp_path: Path):
    data = write_coco(tmp_path, [coco_object(1)])
    write_image(tmp_path / "images" / "001.png", 40, 50)
    with pytest.raises(UserError, match="the picture is 50x40 but its annotations say 30x20"):
        evaluate(run, data, bootstrap=0)

import json
from pathlib import Path

import pytest
import torch

from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.pseudo_labels import with_pseudo_labels
from dmaskrcnn.training.loop import train


@pytest.fixture
def results(clear: Path, hazy: Path, tmp_path: Path):
    """Writes a results JSON about the first two hazy images, of the source's category ids; keywords
    change the entries."""
    source, target = open_dataset(clear), open_images(hazy)
    category = source.category_ids[source.classes.index("car")]

    def write(**changes: object) -> Path:
        entries = [
            {
                "image_id": target.image_ids[0],
                "category_id": category,
                "bbox": [10, 10, 20, 15],
                "score": 0.9,
            },
            {
                "image_id": target.image_ids[0],
                "category_id": category,
                "bbox": [40, 10, 20, 15],
                "score": 0.3,
            },
            {
                "image_id": target.image_ids[1],
                "category_id": category,
                "bbox": [10, 10, 20, 15],
                "score": 0.1,
            },
            {
                "image_id": target.image_ids[1],
                "category_id": 9999,
                "category_name": "zebra",
                "bbox": [10, 10, 20, 15],
                "score": 0.99,
            },
        ]
        path = tmp_path / "outside.json"
        path.write_text(json.dumps([entry | changes for entry in entries]))
        return path

    return write


def test_scores_decide_what_a_detection_is(clear, hazy, results):
    source, target = open_dataset(clear), open_images(hazy)
    labelled = with_pseudo_labels(target, results(), source, 0.5)
    assert labelled.classes == source.classes
    assert [str(p) for p in labelled.paths] == [str(p) for p in target.paths]
    first, second = labelled.load(0).objects, labelled.load(1).objects
    assert first is not None
    assert second is not None
    torch.testing.assert_close(first.boxes, torch.tensor([[10.0, 10, 30, 25], [40, 10, 60, 25]]))
    assert first.crowd.tolist() == [False, True]  # sure; neither object nor background
    assert [source.classes[i] for i in first.labels] == ["car", "car"]
    assert len(second) == 0  # too unsure; a class that the source lacks


def test_files_that_are_sure_of_little_are_doubted(clear, hazy, results, caplog):
    """By the threshold that was asked for; not where there is little to see."""
    source, target = open_dataset(clear), open_images(hazy)
    with_pseudo_labels(target, results(), source, 0.5)  # one sure, one unsure
    with_pseudo_labels(target, results(), source, 0.3)  # two sure
    assert "is sure of" not in caplog.text
    entries = json.loads(results().read_text())
    (path := results()).write_text(json.dumps([*entries, entries[1]]))
    with_pseudo_labels(target, path, source, 0.3)
    assert "is sure of" not in caplog.text
    with_pseudo_labels(target, path, source, 0.5)
    assert "outside.json: is sure of 0.17 objects per target picture" in caplog.text
    assert "scores of 0.5 and more), and of 0.33 it is not" in caplog.text
    assert "--pseudo-threshold" in caplog.text
    path.write_text("[]")  # of a labeller that found nothing, which is no error
    with_pseudo_labels(target, path, source, 0.5, labeller="train")
    assert "is sure of 0.00 objects per target picture" in caplog.text
    assert "--labeller-share" in caplog.text
    caplog.clear()
    with_pseudo_labels(target, path, source, 0.5, labeller="runs/large-1")  # nothing to lengthen
    assert "take a better run as --labeller" in caplog.text


def test_masks_come_along(clear, hazy, results):
    source, target = open_dataset(clear), open_images(hazy)
    height, width = target.load(0).image.shape[1:]
    runs = {"size": [height, width], "counts": [0, height * 5, height * (width - 5)]}
    labelled = with_pseudo_labels(target, results(segmentation=runs), source, 0.5)
    objects = labelled.load(0).objects
    assert objects is not None
    assert objects.has_mask.tolist() == [True, True]  # also of the unsure: it may be confirmed
    assert objects.masks[0, :, :5].all()
    assert not objects.masks[0, :, 5:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 0.4}, "lower --pseudo-threshold"),
        ({"image_id": "elsewhere"}, "'elsewhere' is not in the data set"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"category_id": 999, "category_name": None}, r"999 is not in .*outside\.json:coco where"),
        ({"segmentation": {"size": [4, 4], "counts": [16]}}, "predict on the pictures as they are"),
    ],
)
def test_wrong_files_are_told_in_one_line(clear, hazy, results, changes, message):
    with pytest.raises(UserError, match=message) as error:
        with_pseudo_labels(open_images(hazy), results(**changes), open_dataset(clear), 0.5)
    assert "\n" not in str(error.value)
    assert "outside.json" in str(error.value)


def test_a_missing_file_stops_before_anything_is_written(tiny, hazy, tmp_path):
    config = tiny(method="teacher", target=(hazy,), pseudo_labels=tmp_path / "none.json")
    with pytest.raises(UserError, match=r"none\.json: cannot be read"):
        train(config)
    assert not config.out.exists()


def test_student_learns_them(tiny, hazy, results, monkeypatch):
    """They are the target's labels: the teacher's own detections are not asked for."""
    monkeypatch.setattr("dmaskrcnn.methods.parts.distillation.pseudo_labels", None)
    run = train(
        tiny(
            method="teacher",
            target=(hazy,),
            pseudo_labels=results(),
            trust="labels",
            burn_in=0.0,
            iterations=20,
        )
    )
    assert "target/classifier" in (run / "metrics.csv").read_text()

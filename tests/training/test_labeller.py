import json
from dataclasses import replace

import pytest
import torch
from run_files import assert_same_bits, rows
from safetensors.torch import load_file

from dmaskrcnn.config.labelling import LABELS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_images
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run
from dmaskrcnn.training import labeller, target_labels, target_look
from dmaskrcnn.training.loop import resume, train
from dmaskrcnn.training.state import TrainingState
from dmaskrcnn.training.target_look import BEFORE, FOUND


@pytest.fixture
def student(tiny, hazy):
    """A student with a labeller; what this finds is made up, since it is trained too little."""

    def config(**options: object) -> TrainConfig:
        return tiny(
            **{"method": "teacher", "target": (hazy,), "iterations": 4, "burn_in": 0.0} | options
        )

    return config


@pytest.fixture(autouse=True)
def one_car_each(monkeypatch):
    def look(predictors, image, threshold):
        height, width = image.shape[-2:]
        masks = torch.zeros(1, height, width, dtype=torch.bool)
        masks[0, 10:30, 10:40] = True
        box = torch.tensor([[10.0, 10, 40, 30]])
        return Detections(box, torch.tensor([0]), torch.tensor([0.9]), masks, predictors[0].classes)

    monkeypatch.setattr(target_labels, "look", look)


def test_a_larger_detector_is_trained_on_the_source_and_labels_the_target(student, hazy, capsys):
    run = train(student(labeller="train"))
    own = Run(run / "labeller-1")
    assert own.finished
    assert own.config["method"] == "source"
    assert own.config["target"] == []
    assert own.config["image_size"] > Run(run).config["image_size"]
    labels = json.loads((run / LABELS).read_text())
    assert {one["image_id"] for one in labels} == set(open_images(hazy).image_ids)
    assert float(rows(run)[-1]["pseudo_labels"]) > 0
    said = capsys.readouterr().err
    assert "labeller   2 iterations, the source alone, resnet18 at 96 px" in said
    assert "labelling  6 images at 96 and 144 px" in said
    assert "labeller: its labels are in" in said
    assert resume(run) == run  # its labels are found again


def test_a_labeller_that_is_sure_of_little_is_doubted(student, tiny, monkeypatch, caplog):
    look, seen = target_labels.look, []

    def unsure(*arguments):
        found = look(*arguments)
        seen.append(1)
        return found if len(seen) == 1 else replace(found, scores=torch.tensor([0.3]))

    monkeypatch.setattr(target_labels, "look", unsure)
    teacher = train(tiny(method="source", iterations=2))
    train(student(labeller=str(teacher)))
    assert "labels.json: is sure of 0.17 objects per target picture" in caplog.text
    assert "of 0.83 it is not" in caplog.text
    assert "take a better run as --labeller" in caplog.text


def test_a_run_is_taken_as_it_is(student, tiny):
    teacher = train(tiny(method="source", iterations=2))
    run = train(student(labeller=str(teacher)))
    assert (run / LABELS).is_file()
    assert not (run / "labeller-1").exists()


def test_a_first_round_labels_for_the_second(student, hazy, monkeypatch, capsys):
    """It goes on from what labelled, and learns its labels as they are: a teacher of the same
    weights would agree with anything."""
    monkeypatch.setattr("dmaskrcnn.methods.parts.consensus.agreed", lambda *_: pytest.fail("asked"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(labeller, "label_target", stop)
        with pytest.raises(KeyboardInterrupt):
            train(student(labeller="self", labeller_share=0.5, burn_in=0.5))
    run = student().out / "teacher-1"
    first = Run(run / "labeller-1")
    assert first.finished
    assert (first.config["method"], first.config["target"]) == ("teacher", [str(hazy)])
    assert (first.config["iterations"], first.config["labeller"]) == (2, "none")
    said = capsys.readouterr().err
    plan = [line.split()[:3] for line in said.splitlines()[1:7]]
    assert plan == [
        ["burn-in", "1", "iterations,"],
        ["adapt", "1", "iterations,"],
        ["fine", "0", "iterations,"],
        ["labelling", "6", "images"],
        ["adapt", "again", "2"],  # and no burn-in
        ["fine", "again", "0"],
    ]
    assert "at 96 and 144 px" in said
    assert "warning: first round: --iterations 2: the burn-in is 1 steps" in said

    began = []
    restore = TrainingState.__init__

    def beginning(self, *arguments, **options):
        restore(self, *arguments, **options)
        began.append({k: v.clone() for k, v in self.detector.state_dict().items()})

    monkeypatch.setattr(TrainingState, "__init__", beginning)
    assert resume(run) == run
    weights = load_file(first.path / "model.safetensors")
    assert all(torch.equal(began[-1][name], value) for name, value in weights.items())
    assert Run(run).finished
    assert {row["phase"] for row in rows(run)} <= {"adapt", "fine"}
    assert float(rows(run)[-1]["pseudo_labels"]) == float(rows(run)[-1]["sure_labels"]) > 0
    assert resume(run) == run  # nothing is left to do


def test_two_rounds_are_two_trainings(student, tiny):
    """To the bit: what was measured of two commands holds for one."""
    start = {"weights": str(train(tiny(method="source", iterations=1))), "burn_in": 0.25}
    once = train(student(labeller="self", iterations=6, labeller_share=0.67, **start))
    first = train(student(iterations=4, name="first", **start))
    config = student(weights=str(first), iterations=2, labeller=f"{first}@96", trust="labels")
    assert_same_bits(once, train(config))


def test_two_rounds_are_looked_at_as_one_training(student, capsys):
    run = train(student(labeller="self", iterations=4, labeller_share=0.5, burn_in=0.5))
    looks, first = (json.loads((at / FOUND).read_text()) for at in (run, run / "labeller-1"))
    assert looks["images"] == first["images"]
    assert looks["found"][:2] == first["found"]
    assert [found["iteration"] for found in looks["found"]] == [1, 2, 2]
    assert (run / BEFORE).read_bytes() == (run / "labeller-1" / BEFORE).read_bytes()
    said = capsys.readouterr().err
    (titles,) = (line.split("  ") for line in said.splitlines() if "after round 1" in line)
    assert [title.strip() for title in titles if title] == [
        "before",
        "after round 1",
        "after round 2",
    ]


def test_labels_that_contradict_the_first_round_are_left_out(student, tiny, monkeypatch):
    """Then the second one goes on as the first, to the bit, and is so resumed."""
    monkeypatch.setattr(labeller, "trusted", lambda *_: False)
    start = {"weights": str(train(tiny(method="source", iterations=1)))}
    once = train(student(labeller="self", iterations=6, labeller_share=0.67, name="once", **start))
    plain = train(student(weights=str(once / "labeller-1"), iterations=2, name="again"))
    assert_same_bits(once, plain)
    assert (once / LABELS).is_file()
    assert "sure_labels" not in rows(once)[-1]
    monkeypatch.setattr(labeller, "trusted", lambda *_: pytest.fail("asked again"))
    assert resume(once) == once


def test_a_start_that_is_trained_has_the_averages_of_its_length(student, tiny, tmp_path):
    """As each round would have by itself."""
    start = str(train(tiny(method="source", iterations=1)))
    options = {"weights": start, "ema": 0.999, "iterations": 400, "labeller_share": 0.75}
    for who in ("self", "train"):
        config = student(labeller=who, **options)
        asks = config.settings.asks
        assert asks
        for part, iterations in (
            (asks.training(config, tmp_path, gpu=False), 300),
            (asks.student(config, tmp_path), 100),
        ):
            alone = TrainConfig.from_preset(
                "cpu",
                method=part.method,
                source="x",
                target="y",
                weights=start,
                iterations=iterations,
            )
            assert part.iterations == iterations
            assert part.ema == alone.ema
            if part.method == "teacher":
                assert part.settings.teacher_ema == alone.settings.teacher_ema


def test_labels_of_a_file_and_its_own_count_together(student, hazy, tmp_path):
    """In the first round those of the file alone."""
    images = open_images(hazy).image_ids
    file = tmp_path / "outside.json"
    other = {"category_name": "car", "bbox": [40, 10, 20, 15], "score": 0.9}
    file.write_text(json.dumps([{"image_id": image, **other} for image in images[:3]]))
    run = train(student(labeller="self", pseudo_labels=str(file)))
    assert {one["bbox"][0] for one in json.loads((run / LABELS).read_text())} == {10}
    first = Run(run / "labeller-1")
    assert first.config["pseudo_labels"] == str(file)
    assert float(rows(first.path)[-1]["sure_labels"]) == 0.5
    assert float(rows(run)[-1]["sure_labels"]) == 1.5


def test_pictures_that_came_meanwhile_are_labelled_and_broken_ones_are_named(
    student, tiny, tmp_path, hazy, capsys
):
    (folder := tmp_path / "target").mkdir()
    first, second, third = sorted((hazy / "images").iterdir())[:3]
    for picture in (first, second):
        (folder / picture.name).write_bytes(picture.read_bytes())
    teacher = train(tiny(method="source", iterations=1))
    run = train(student(labeller=str(teacher), target=(folder,), target_batch=1, iterations=1))
    (run / "last.pt").unlink()  # as if it had been killed before its first checkpoint
    with (run / "labelling" / "part-0.jsonl").open("a") as file:
        file.write("\n[cut sho")
    content = second.read_bytes()
    (folder / second.name).write_bytes(content[: len(content) // 2])
    (folder / third.name).write_bytes(third.read_bytes())
    capsys.readouterr()
    assert resume(run) == run
    labels = json.loads((run / LABELS).read_text())
    assert {one["image_id"] for one in labels} == {first.stem, third.stem}
    assert f"not labelled: {folder / second.name}" in capsys.readouterr().err


def test_a_stopped_labeller_is_resumed_by_the_run_it_is_for(student, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(labeller, "label_target", stop)
        with pytest.raises(KeyboardInterrupt):
            train(student(labeller="train"))
    run = student().out / "teacher-1"
    assert not (run / LABELS).exists()
    weights = (run / "labeller-1" / "model.safetensors").stat().st_mtime_ns
    assert resume(run) == run
    assert Run(run).finished
    assert (run / "labeller-1" / "model.safetensors").stat().st_mtime_ns == weights


def test_wrong_labellers_are_told_before_anything_is_written(student, tmp_path):
    (tmp_path / "labels.json").write_text("[]")
    for given, said in (
        (tmp_path / "labels.json", "give it as --pseudo-labels"),
        (tmp_path / "none", "holds no model.safetensors"),
    ):
        config = student(labeller=str(given))
        with pytest.raises(UserError, match=said):
            train(config)
        assert not config.out.exists()
    with pytest.raises(UserError, match="no use without --labeller train"):
        student(labeller="runs/x", labeller_weights="imagenet")


def test_on_a_gpu_it_has_a_larger_backbone(student, tmp_path):
    config = replace(student(labeller="train", weights="scratch"), weights="runs/start")
    asks = config.settings.asks
    assert asks
    small, large = (asks.training(config, tmp_path, gpu) for gpu in (False, True))
    size = config.detector.image_size
    assert (small.detector.backbone, small.weights) == (config.detector.backbone, "runs/start")
    assert (large.detector.backbone, large.weights) == ("resnet50", "imagenet")
    assert (small.detector.image_size, large.detector.image_size) == (round(1.5 * size), 2 * size)
    mobile = TrainConfig.from_preset(
        "mobile", method="teacher", source="clear", target="hazy", labeller="train"
    )
    asks = mobile.settings.asks
    assert asks
    large = asks.training(mobile, tmp_path, gpu=True).detector
    assert (large.backbone, large.pyramid) == ("resnet50", "fine")


@pytest.mark.parametrize("length", [{"iterations": 6}, {"minutes": 0.1, "iterations": 0}])
def test_no_more_pictures_are_labelled_than_the_second_round_has_time_for(
    student, hazy, monkeypatch, capsys, length
):
    """Evenly spread, with those that are looked at before and after; it learns from these alone,
    also when it is resumed."""
    monkeypatch.setattr(target_look, "LOOKS", 2)
    monkeypatch.setattr(target_labels, "LEAST", 3)
    monkeypatch.setattr(target_labels, "VIEWS", 10**6)
    run = train(student(labeller="self", **length))
    images = open_images(hazy).image_ids
    labels = json.loads((run / LABELS).read_text())
    assert [one["image_id"] for one in labels] == [images[0], images[1], images[3]]
    looks = json.loads((run / FOUND).read_text())
    assert looks["images"] == [images[0], images[3]]
    assert [found["pictures"] for found in looks["found"]] == [2, 2, 2]
    assert "labeller: 3 of 6 target pictures, evenly spread" in capsys.readouterr().err
    assert resume(run) == run

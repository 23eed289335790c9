"""Which classes of a test set are scored, and which of its pictures are not independent, of each
other or of the training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from data_files import coco_object, write_coco, write_image
from evaluation_cases import save_detector
from PIL import Image, ImageOps

from dmaskrcnn import evaluate
from dmaskrcnn.cli.main import main
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation import labelled
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


class TestPicturesThatBelongTogether:
    def test_identical_files_are_drawn_together_and_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        path = write_coco(tmp_path, [coco_object(1)], images=4)
        shutil.copy(tmp_path / "images" / "001.png", tmp_path / "images" / "003.png")
        test = open_test_set(path)
        assert caplog.text == ""
        assert test.groups.tolist() == test.groups.tolist() == [0, 1, 0, 2]
        assert caplog.text.count("2 of 4 test pictures have the same content as another") == 1
        assert open_test_set(path, groups="none").groups.tolist() == [0, 1, 2, 3]

    def test_near_duplicates_are_told_where_no_groups_are_given(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        path = write_coco(tmp_path, [coco_object(1)], images=5)
        for name in ("002", "004"):
            picture = np.asarray(Image.open(tmp_path / "images" / "001.png")) // 2 + int(name)
            Image.fromarray(picture).save(tmp_path / "images" / f"{name}.png")
        assert open_test_set(path).groups.tolist() == [0, 1, 2, 3, 4]
        assert "3 of 5 test pictures are nearly the same as another" in caplog.text
        assert "(such as 001.png and 004.png)" in caplog.text
        assert "say what belongs together with --groups" in caplog.text
        caplog.clear()
        assert open_test_set(path, groups="similar").groups.tolist() == [0, 0, 1, 0, 2]
        assert caplog.text == ""
        assert open_test_set(path, groups="folder").groups.tolist() == [0] * 5
        assert "all test pictures are of one group, so there are no intervals" in caplog.text

    def test_mistakes_show_when_the_set_is_opened(self, tmp_path: Path):
        path = write_coco(tmp_path, [coco_object(1)])
        with pytest.raises(UserError, match="--groups folders: has no"):
            open_test_set(path, groups="folders")

    def test_a_picture_that_is_listed_twice_is_refused(self, tmp_path: Path):
        entry = {"file_name": "001.png", "height": 20, "width": 30}
        images = [{"id": 1, **entry}, {"id": 5, **entry}]
        path = write_coco(tmp_path, [coco_object(1), coco_object(2, image=5)], images=1)
        table = json.loads(path.read_text())
        path.write_text(json.dumps(table | {"images": images}))
        with pytest.raises(UserError, match=r"001\.png: is in the test set twice, with the ids 1"):
            open_test_set(path)
        path = write_coco(tmp_path / "one", [coco_object(1)])
        with pytest.raises(UserError, match="is in the test set twice"):
            open_test_set([path, path])


class TestPicturesThatWereTrainedOn:
    def test_all_of_it(
        self, run: Path, clear: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """Under other names, in source and target; a second seed says nothing new."""
        test = Path(shutil.copytree(clear, tmp_path / "test"))
        hazy = tmp_path / "hazy"
        hazy.mkdir()
        shutil.copy(sorted((clear / "images").iterdir())[0], hazy / "h.png")
        folders = [Path(shutil.copytree(run, tmp_path / name)) for name in ("a", "b")]
        for folder in folders:
            config = {"method": "grl", "source": [str(clear)], "target": [str(hazy)]}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
        open_shared_test_set(list(map(open_run, folders)), [test])
        assert f"6 of 6 test pictures are also in --source of {folders[0]} (" in caplog.text
        assert f"1 of 6 test pictures are also in --target of {folders[0]} (" in caplog.text
        assert "the two share images" in caplog.text
        caplog.clear()
        evaluate(folders[1], test, bootstrap=0)
        assert caplog.text.count("6 of 6 test pictures are also in --source") == 1

    def test_copies_that_were_saved_anew(
        self, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """One is the content of another picture; the others are looked at only where none is."""
        path = write_coco(tmp_path / "test", [coco_object(1)], images=2)
        (tmp_path / "old").mkdir()
        with Image.open(tmp_path / "test" / "images" / "002.png") as picture:
            ImageOps.scale(picture.convert("RGB"), 4).save(tmp_path / "old" / "camera.jpg")
        folder = Path(shutil.copytree(run, tmp_path / "run"))
        config = {"method": "source", "source": [str(tmp_path / "old")]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        open_shared_test_set([open_run(folder)], [path])
        assert "1 of 2 test pictures look nearly the same as pictures of --source" in caplog.text
        assert "camera.jpg), and the scores say little" in caplog.text

    def test_data_that_are_gone_say_nothing(
        self, run: Path, clear: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        folder = Path(shutil.copytree(run, tmp_path / "run"))
        config = {"method": "source", "source": [str(tmp_path / "gone")]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        open_shared_test_set([open_run(folder)], [clear])
        assert caplog.text == ""


@pytest.mark.parametrize("iscrowd", [1, None])
def test_nothing_to_score_is_refused(tmp_path: Path, iscrowd: int | None):
    path = write_coco(tmp_path, [coco_object(1, iscrowd=iscrowd)] if iscrowd else [])
    with pytest.raises(UserError, match="nothing to score: no object of car"):
        open_test_set(path)


@pytest.mark.parametrize("rotation", [2, 3, 6])
def test_an_option_settles_where_the_boxes_lie(
    rotation: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A detection that fits in the picture as stored, or as EXIF turns it: never in both."""
    path = write_coco(tmp_path / "test", [coco_object(1, bbox=(1, 2, 9, 7))], images=1)
    picture = tmp_path / "test" / "images" / "001.png"
    write_image(picture, 20, 30, orientation=rotation)
    results = tmp_path / "results.json"
    entry = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 9, 7], "score": 0.9}
    results.write_text(json.dumps([entry]))
    sizes = {}
    for way in ("stored", "upright"):
        test = open_test_set(path, orientation=way)
        sizes[way] = tuple(test.data.load(0).image.shape[1:])
        scores = evaluate(results, path, orientation=way, bootstrap=0)
        assert scores["voc/AP50"].value == 1  # the box is read in the same frame as the detection
    assert sizes == {"stored": (20, 30), "upright": (30, 20) if rotation == 6 else (20, 30)}
    main(["evaluate", str(results), "--data", str(path), "--orientation", "upright"])
    assert "100.0" in capsys.readouterr().out


def test_results_of_no_class_of_the_test_set(tmp_path: Path):
    data, file = write_coco(tmp_path / "set", [coco_object(1)]), tmp_path / "other.json"
    entry = {"image_id": 1, "category_name": "automobile", "bbox": [1, 2, 9, 9], "score": 0.5}
    file.write_text(json.dumps([entry]))
    for score in (
        lambda: evaluate(file, data, bootstrap=0),
        lambda: open_shared_test_set([open_run(file)], [data]),
    ):
        with pytest.raises(
            UserError, match="they are automobile, it has car, motorcycle; give each"
        ):
            score()
    # of a class that is there but not asked for, there may be nothing else
    file.write_text(json.dumps([entry | {"category_name": "motorbike"}]))
    open_shared_test_set([open_run(file)], [data], ["car"])
    assert evaluate(file, data, classes=["car"], bootstrap=0)["voc/AP50"].value == 0


def test_a_large_file_is_read_once_for_its_check_and_its_score(
    clear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(labelled, "_SMALL", 10)
    test, read, load = open_test_set(clear), [], labelled.load_results

    def counted(file, *arguments):
        read.append(Path(file).name)
        return load(file, *arguments)

    monkeypatch.setattr(labelled, "load_results", counted)
    box = {"category_name": "car", "bbox": [10, 10, 30, 20], "score": 0.9}
    for name in ("a.json", "b.json"):
        entry = {"image_id": test.data.image_ids[0], **box}
        (tmp_path / name).write_text(json.dumps([entry]))
        assert test.results(tmp_path / name) is test.results(tmp_path / name)
    test.results(tmp_path / "a.json")  # not held beside the other
    assert read == ["a.json", "b.json", "a.json"]

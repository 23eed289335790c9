"""YOLO data sets as Ultralytics, Roboflow and Darknet lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import inspect, open_dataset, open_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.labelled import open_test_set

# of 30 x 20 px: a box 6..12 x 4..12, a polygon
BOX, POLYGON = "0 0.3 0.4 0.2 0.4", "1 0.1 0.1 0.5 0.1 0.5 0.6 0.3 0.8"
YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: car\n  1: Motorbike\n"


def write_yolo(folder: Path, yaml: str | None = YAML, **splits: dict[str, str | None]) -> Path:
    """Per place (``__`` for ``/``) of pictures the text of their labels; None: no label file."""
    folder.mkdir(parents=True, exist_ok=True)
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)
    for place, texts in splits.items():
        name = place.replace("__", "/")
        pictures, labels = folder / name, folder / name.replace("images", "labels")
        labels.mkdir(parents=True, exist_ok=True)
        for i, (stem, text) in enumerate(texts.items()):
            write_image(pictures / f"{stem}.png", seed=i)
            if text is not None:
                (labels / f"{stem}.txt").write_text(text)
    return folder


@pytest.fixture
def ultralytics(tmp_path: Path) -> Path:
    return write_yolo(
        tmp_path / "set",
        images__train={"a": f"{BOX}\n{POLYGON}\n", "b": "", "c": None},
        images__val={"d": BOX},
    )


@pytest.mark.parametrize("file", ["data.yaml", "labels/train/a.txt", "train.txt", "classes.txt"])
def test_the_mark_of_windows_editors_is_no_text(ultralytics: Path, file: str) -> None:
    if file == "train.txt":
        (ultralytics / file).write_text("./images/train/a.png\n")
        (ultralytics / "data.yaml").write_text(YAML.replace("images/train", file))
    elif file == "classes.txt":
        (ultralytics / file).write_text("car\nmotorcycle\n")
        (ultralytics / "data.yaml").unlink()
    marked = ultralytics / file
    marked.write_bytes(b"\xef\xbb\xbf" + marked.read_bytes())
    data = open_dataset(ultralytics if file == "data.yaml" else Path(f"{ultralytics}:train"))
    assert data.classes == ("car", "motorcycle")
    assert data.annotations(0).labels.tolist() == [0, 1]


def test_labels_of_a_picture_that_is_called_classes(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, images__train={"a": BOX, "classes": f"{BOX}\n{POLYGON}\n"})
    data = open_dataset(folder / "data.yaml")
    assert [len(data.annotations(i)) for i in range(2)] == [1, 2]
    (folder / "labels/train/classes.txt").write_text("car\nmotorcycle\n")  # a list all the same
    assert [len(open_dataset(folder / "data.yaml").annotations(i)) for i in range(2)] == [1, 0]


def test_boxes_and_polygons(ultralytics: Path) -> None:
    data = open_dataset(ultralytics / "data.yaml")
    assert data.classes == ("car", "motorcycle")
    assert data.image_ids == ["a", "b", "c"]
    objects = data.annotations(0)
    np.testing.assert_allclose(objects.boxes, [[6, 4, 12, 12], [3, 2, 15, 16]], atol=1e-5)
    assert objects.labels.tolist() == [0, 1]
    assert objects.has_mask.tolist() == [False, True]
    assert 80 < int(objects.masks[1].sum()) < 120
    assert [len(data.annotations(i)) for i in (1, 2)] == [0, 0]  # background
    assert data.load(0).image.shape == (3, 20, 30)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("", ["a", "b", "c"]),
        (":val", ["d"]),
        (":valid", ["d"]),
        ("/data.yaml:val", ["d"]),
        ("/images/val", ["d"]),
        ("/images/train", ["a", "b", "c"]),
    ],
)
def test_splits(ultralytics: Path, name: str, ids: list[str]) -> None:
    for remove in (False, True):
        if remove:  # without a data.yaml the layout tells
            if "yaml" in name:
                break
            (ultralytics / "data.yaml").unlink()
            (ultralytics / "classes.txt").write_text("car\nmotorbike\n")
        data = open_dataset(f"{ultralytics}{name}")
        assert data.labelled
        assert data.image_ids == ids
        assert data.classes == ("car", "motorcycle")


def test_target_images_of_a_split(ultralytics: Path) -> None:
    for name in ("/data.yaml:val", ":val"):
        data = open_images(f"{ultralytics}{name}")
        assert (data.image_ids, data.labelled) == (["d"], False)
    with pytest.raises(UserError, match="no split 'tst'; it has train, val"):
        open_images(f"{ultralytics}/data.yaml:tst")


def test_roboflow(tmp_path: Path) -> None:
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\n"
    yaml += "names: ['car', 'bus']\n"
    places: dict[str, dict[str, str | None]] = {
        f"{split}__images": {split: BOX} for split in ("train", "valid", "test")
    }
    folder = write_yolo(tmp_path, yaml, **places)
    (folder / "README.roboflow.txt").write_text("exported\n")
    assert open_dataset(folder).image_ids == ["train"]
    assert open_dataset(f"{folder}:val").image_ids == ["valid"]
    assert open_dataset(folder / "test").image_ids == ["test"]
    assert open_dataset(folder / "test" / "images").classes == ("car", "bus")


def test_flat_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text(BOX)
    with pytest.raises(UserError, match=r"no names of classes; write a classes\.txt"):
        open_dataset(tmp_path)
    (tmp_path / "classes.txt").write_text("car\n")
    data = open_dataset(tmp_path)
    assert (data.classes, len(data.annotations(0))) == (("car",), 1)


def test_lists_of_pictures_and_moved_folders(ultralytics: Path) -> None:
    yaml = ultralytics / "data.yaml"
    (ultralytics / "some.txt").write_text("./images/train/a.png\n\n/content/set/images/val/d.png\n")
    yaml.write_text("path: /content/set\ntrain: some.txt\nval: images/val\nnames: [car, bus]\n")
    data = open_dataset(yaml)
    assert [path.stem for path in data.paths] == ["a", "d"]
    assert len(data.annotations(0)) == 2
    yaml.write_text("train: [images/train, images/val]\nnames: [car, bus]\n")
    assert [path.stem for path in open_dataset(yaml).paths] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.3 0.4 0.2", r"a\.txt: line 2: has 4 numbers: neither a box"),
        ("99 0.3 0.4 0.2 0.4", r"a\.txt: line 2: has the class 99, but data\.yaml names 0 to 1"),
        ("-1 0.3 0.4 0.2 0.4", "not the number of a class"),
        ("0.5 0.3 0.4 0.2 0.4", "not the number of a class"),
        ("0 0.3 0.4 0.2 0.4 0.9", "detections with a score"),
        ("0 0.3 0.4 0.2 0.4 0.9 0.1 2", "keypoints need kpt_shape"),
        ("car 0.3 0.4 0.2 0.4", "'car' is no number"),
        ("0 nan 0.4 0.2 0.4", "'nan' is no number"),
        ("0 1e999 0.4 0.2 0.4", "'1e999' is no number"),
        ("0 12 8 6 8", "no share of the picture.*pixels"),
        ("0 0.3 0.4 0 0.4", "no area"),
        ("0 0.9 0.4 0.6 0.4", "outside"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "encloses no pixel"),
    ],
)
def test_bad_lines(ultralytics: Path, line: str, message: str) -> None:
    (ultralytics / "labels/train/a.txt").write_text(f"{BOX}\n{line}\n")
    with pytest.raises(UserError, match=message) as error:
        open_dataset(ultralytics)
    assert "\n" not in str(error.value)
    assert len(open_dataset(ultralytics, drop_invalid=True).annotations(0)) in (1, 2)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [car]\n", "no split 'train'; it names none"),
        ("train: images/none\nnames: [car]\n", "train: no such folder 'images/none'"),
        ("train: 7\nnames: [car]\n", "train: is 7"),
        ("train: images/train\nnc: 3\nnames: [car, bus]\n", "nc: is 3, but there are 2 names"),
        ("train: images/train\nnc: 2\n", "names: is missing"),
        ("train: images/train\nnames: [car, yes]\n", "names: 1: is True, not text"),
        ("train: images/train\nnames: {a: car}\n", "'a' is no number of a class"),
        ("train: images/train\nnames: [a, b]\nkpt_shape: 17\n", "kpt_shape: is 17"),
        ("path: 5\ntrain: images/train\nnames: [a, b]\n", "path: is 5"),
        ("train: &a images/train\nval: *a\nnames: [a]\n", "aliases"),
        ("names: [", "not a readable YAML"),
        ("names: [a]\ntrain: images\x00\n", "not a readable YAML"),
    ],
)
def test_bad_yaml(ultralytics: Path, yaml: str, message: str) -> None:
    (ultralytics / "data.yaml").write_text(yaml)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(ultralytics / "data.yaml")
    assert "data.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_keypoints_are_left_out(ultralytics: Path) -> None:
    yaml = ultralytics / "data.yaml"
    yaml.write_text(f"{yaml.read_text()}kpt_shape: [2, 3]\n")
    (ultralytics / "labels/train/a.txt").write_text(f"{BOX} 0.3 0.4 2 0.5 0.5 0\n")
    np.testing.assert_allclose(
        open_dataset(ultralytics).annotations(0).boxes, [[6, 4, 12, 12]], atol=1e-5
    )


def test_oriented_boxes_are_told_for_what_they_are(tmp_path: Path) -> None:
    turned = "0 0.4 0.2 0.6 0.5 0.4 0.8 0.2 0.5\n"  # (12, 4) (18, 10) (12, 16) (6, 10)
    folder = write_yolo(tmp_path, images__train={"a": turned}, images__val={"b": BOX})
    data = open_dataset(folder)
    assert [note.kind for note in data.notes] == ["oriented boxes"]
    objects = data.annotations(0)
    np.testing.assert_allclose(objects.boxes, [[6, 4, 18, 16]], atol=1e-4)
    assert not objects.has_mask.any()
    (folder / "labels/train/a.txt").write_text(turned + POLYGON)
    assert open_dataset(folder).annotations(0).has_mask.all()


def test_labels_without_a_picture(ultralytics: Path) -> None:
    (ultralytics / "labels/train/z.txt").write_text(BOX)
    with pytest.raises(UserError, match=r"z\.txt: labels a picture that is not there"):
        open_dataset(ultralytics)


def test_boxes_of_a_rotated_picture(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, images__train={"a": BOX}, images__val={"b": BOX})
    write_image(folder / "images/train/a.png", orientation=6)
    assert open_dataset(folder).size(0) == (30, 20)
    assert open_dataset(folder, orientation="stored").size(0) == (20, 30)


def test_inspect_names_what_it_found(ultralytics: Path) -> None:
    text = str(inspect(ultralytics))
    assert "YOLO, 3 images, labelled: 2 objects of 2 classes, 1 with masks" in text
    assert "split train of train, val; names from data.yaml; 1 boxes, 1 polygons" in text
    assert "without labels" not in text


def test_a_folder_of_labels_is_no_data_set(ultralytics: Path) -> None:
    with pytest.raises(UserError, match="YOLO labels; name the folder of their pictures"):
        open_dataset(ultralytics / "labels/train")


def test_a_test_set_must_say_which_split(ultralytics: Path, tmp_path: Path) -> None:
    for path in (ultralytics, ultralytics / "data.yaml"):
        with pytest.raises(UserError, match=f"has the splits train, val; .*{path}:val"):
            open_test_set(path)
        assert open_test_set(f"{path}:val").data.image_ids == ["d"]
    for yaml in ("names: [car, bus]\n", None):  # folders alone say which splits there are
        (ultralytics / "data.yaml").unlink()
        if yaml:
            (ultralytics / "data.yaml").write_text(yaml)
        else:
            (ultralytics / "classes.txt").write_text("car\nbus\n")
        with pytest.raises(UserError, match=f"has the splits train, val; .*{ultralytics}:val"):
            open_test_set(ultralytics)
        assert open_test_set(f"{ultralytics}:val").data.image_ids == ["d"]
        assert open_dataset(ultralytics).image_ids == ["a", "b", "c"]  # a source need not
    write_coco(ultralytics / "annotations", [coco_object(1)])  # which is read before
    assert open_test_set(ultralytics).category_ids == {"car": 3, "motorcycle": 7}
    one = write_yolo(tmp_path / "one", "train: images\nnames: [car]\n", images={"a": BOX})
    assert len(open_test_set(one).data) == 1


def test_pictures_of_one_name_in_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = "train: [cam1/images, cam2/images]\nnames: [car]\n"
    folder = write_yolo(tmp_path / "set", yaml, cam1__images={"1": BOX}, cam2__images={"1": BOX})
    ids = open_dataset(folder).image_ids
    assert ids == ["cam1/images/1.png", "cam2/images/1.png"]
    monkeypatch.chdir(tmp_path)
    for path in ("set", "set/data.yaml"):
        assert open_dataset(path).image_ids == open_images(f"{path}:train").image_ids == ids

"""Predictions on disk: the round trip, what other tools write, and bad files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco_mask

from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.results_json import load_results, save_results
from dmaskrcnn.evaluation.score import score

IDS = {"car": 3, "person": 1}
SIZE = 48


class Truth:
    def __init__(self, objects, image_ids):
        self.objects, self.image_ids, self.classes = objects, image_ids, tuple(IDS)

    def annotations(self, index):
        return self.objects[index]


def random_detections(n, seed, classes=("person", "zebra", "Car", "bus")):
    g = torch.Generator().manual_seed(seed)
    low = torch.rand(n, 2, generator=g) * 30
    boxes = torch.cat([low, low + 1 + torch.rand(n, 2, generator=g) * 17], 1)
    scores = torch.rand(n, generator=g).sort(descending=True).values
    labels = torch.randint(0, len(classes), (n,), generator=g)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    x1, y1, x2, y2 = (boxes[:, i, None, None] for i in range(4))
    return Detections(boxes, labels, scores, (x >= x1) & (x < x2) & (y >= y1) & (y < y2), classes)


def test_round_trip_is_exact_and_scores_the_same(tmp_path):
    image_ids = ["a", 7, "c"]
    found = [random_detections(40, 0), random_detections(0, 1), random_detections(25, 2)]
    path = tmp_path / "results.json"
    save_results(path, image_ids, iter(found), IDS)
    loaded = load_results(path, image_ids, IDS)
    assert len(loaded) == 3
    assert len(loaded[1]) == 0
    for before, after in zip(found, loaded, strict=True):
        assert torch.equal(before.boxes, after.boxes)
        assert torch.equal(before.scores, after.scores)
        assert [name.lower() for name in before.names] == after.names
        assert after.masks.any() == before.masks.any()
        if len(before):
            assert torch.equal(before.masks, after.masks)
    objects = []
    for seed, n in ((3, 9), (4, 0), (5, 9)):
        d = random_detections(n, seed)
        no = torch.zeros(n, dtype=torch.bool)
        objects.append(Annotations(d.boxes, d.labels % 2, d.masks, ~no, no, no))
    objects[0].boxes[0], objects[0].masks[0], objects[0].labels[0] = (
        found[0].boxes[0],
        found[0].masks[0],
        0,
    )
    found[0].labels[0] = 2
    save_results(path, image_ids, found, IDS)
    truth = Truth(objects, image_ids)
    direct = score(truth, found, bootstrap=20).to_dict()
    assert direct["metrics"]["mask/AP"]["value"] > 0
    assert score(truth, load_results(path, image_ids, IDS), bootstrap=20).to_dict() == direct


def test_classes_the_data_set_lacks_keep_their_names_and_known_ones_their_ids(tmp_path):
    path = tmp_path / "results.json"
    save_results(path, [1], [random_detections(40, 0)], IDS)
    entries = json.loads(path.read_text())
    assert {(e["category_id"], e.get("category_name")) for e in entries} == {
        (1, "person"),
        (3, "Car"),
        (4, "zebra"),
        (5, "bus"),
    }
    assert set(load_results(path, [1], IDS)[0].names) == {"person", "zebra", "car", "bus"}


def test_slices_and_empty_files(tmp_path):
    path = tmp_path / "results.json"
    save_results(path, [1, 2], [random_detections(3, 0), random_detections(2, 1)], IDS)
    assert [len(d) for d in load_results(path, [1, 2, 9], IDS)[1:]] == [2, 0]
    save_results(path, [], [], IDS)
    assert len(load_results(path, [], IDS)) == 0
    with pytest.raises(ValueError, match="shorter"):
        save_results(path, [1, 2], [random_detections(3, 0)], IDS)
    assert json.loads(path.read_text()) == []


def entry(**changes):
    return {"image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 4.5], "score": 0.5} | changes


def load(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_results(path, [1, 2], IDS)


def test_results_of_another_detector_without_masks(tmp_path):
    found = load(
        tmp_path,
        [
            entry(score=0.2),
            entry(score=1, category_id=1, extra=5),
            entry(image_id=2, segmentation=None),
        ],
    )
    assert found[0].names == ["person", "car"]
    assert found[0].boxes.tolist() == [[1, 2, 11, 6.5]] * 2
    assert found[0].masks.shape == (2, 0, 0)
    assert found.classes == ("car", "person")


def test_uncompressed_run_lengths_and_detections_without_one(tmp_path):
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 2] = True
    found = load(
        tmp_path, [entry(segmentation={"size": [4, 5], "counts": [9, 2, 9]}), entry(score=0.1)]
    )[0]
    np.testing.assert_array_equal(found.masks[0], mask)
    assert found.masks.shape == (2, 4, 5)
    assert not found.masks[1].any()


RLE = coco_mask.encode(np.ones((4, 5), dtype=np.uint8, order="F"))["counts"].decode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"info": []}', "is not a COCO results file.*found info"),
        ("7", "no list of detections; found int"),
        ("[", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([[1]], "entry 0: is list"),
        (
            [entry(), {k: v for k, v in entry().items() if k != "score"}],
            "entry 1: lacks the field score",
        ),
        ([entry(image_id=9)], "image_id 9 is not in the data set"),
        ([entry(image_id="1")], r"image_id '1' is not .* \(such as 1\)"),
        ([entry(image_id=[1])], r"image_id is \[1\]; it must be"),
        ([entry(image_id=True)], "image_id is True; it must be"),
        ([entry(category_id="3")], "category_id is '3'; it must be"),
        ([entry(segmentation=0)], "segmentation is int"),
        ([entry(segmentation={})], "segmentation has the size None"),
        ([entry(category_id=99)], "category_id 99 is not in the data set; it has 3 car, 1 person"),
        ([entry(bbox=[1, 2, math.nan, 4])], "bbox .* finite"),
        ([entry(bbox=[1, 2, -3, 4])], "bbox"),
        ([entry(bbox=[1, 2, 3])], "bbox"),
        ([entry(bbox=["1", 2, 3, 4])], "bbox"),
        ([entry(score=math.nan)], "score nan"),
        ([entry(score=math.inf)], "score inf"),
        ([entry(score=87.5)], "between 0 and 1"),
        ([entry(segmentation=[[1, 1, 5, 1, 5, 5]])], "segmentation is list"),
        ([entry(segmentation={"size": [4], "counts": RLE})], "size"),
        ([entry(segmentation={"size": [10**6, 10**6], "counts": RLE})], "size"),
        ([entry(segmentation={"size": [4, 5], "counts": [1, 2]})], "cover 3 pixels"),
        ([entry(segmentation={"size": [4, 5], "counts": None})], "neither text nor"),
        ([entry(segmentation={"size": [9, 5], "counts": RLE})], "cannot be decoded"),
        ([entry(segmentation={"size": [4, 5], "counts": "é\ud800"})], "cannot be decoded"),
        (
            [entry(segmentation={"size": s, "counts": RLE}) for s in ([4, 5], [5, 4])],
            "another of its image",
        ),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        list(load(tmp_path, content))
    assert "other.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(UserError, match=r"missing\.json: cannot be read"):
        load_results(tmp_path / "missing.json", [1], IDS)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results.json: cannot be written"):
        save_results(tmp_path / "file" / "results.json", [1], [random_detections(1, 0)], IDS)


# --- classes by name, whoever wrote them ----------------------------------------------------------

OTHER = {"car": 1, "person": 2}  # ids that are not COCO's


def names_of(tmp_path, content, ids=None, suffix="", **options):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    return load_results(f"{path}{suffix}", [1, 2], ids or OTHER, **options)[0].names


@pytest.mark.parametrize("key", ["category_name", "class_name", "category", "class", "label"])
def test_names_win_over_ids(tmp_path, key):
    assert names_of(tmp_path, [entry(category_id=2, **{key: "Car"})]) == ["car"]
    named = entry(**{key: "motorbike"})
    del named["category_id"]
    assert names_of(tmp_path, [named], own_ids=False) == ["motorcycle"]


@pytest.mark.parametrize("key", ["annotations", "detections"])
def test_the_files_own_categories(tmp_path, key):
    categories = [{"id": 3, "name": "car"}, {"id": 1, "name": "Person"}]
    content = {key: [entry(category_id=1), entry()], "categories": categories}
    assert sorted(names_of(tmp_path, content)) == ["car", "person"]
    for wrong, message in (
        ([entry(category_id=2)], "category_id 2 is not among"),
        ([entry(category_id="x")], "category_id is 'x'"),
    ):
        with pytest.raises(UserError, match=message):
            names_of(tmp_path, content | {key: wrong})
    for wrong in ([{"id": 3}], [3], None, [*categories, {"id": 3, "name": "bus"}]):
        with pytest.raises(UserError, match="categories"):
            names_of(tmp_path, content | {"categories": wrong})


def test_bare_ids_are_never_taken_for_others(tmp_path, caplog):
    bare = [entry(category_id=1)]
    assert names_of(tmp_path, bare) == ["car"]  # the data set's, but said
    assert "read as the data set's own (1 car, 2 person)" in caplog.text
    assert names_of(tmp_path, bare, suffix=":coco") == ["person"]
    assert names_of(tmp_path, bare, suffix=":coco80") == ["bicycle"]
    with pytest.raises(UserError, match=r"category_id 1 has no name, .*other\.json:coco where"):
        names_of(tmp_path, bare, own_ids=False)
    with pytest.raises(UserError, match=r"category_id 3 is not in .*other\.json:coco where"):
        names_of(tmp_path, [entry()])
    caplog.clear()
    # the data set's ids are COCO's: so are the others
    assert names_of(tmp_path, [entry(category_id=8)], IDS) == ["truck"]
    assert caplog.text == ""
    with pytest.raises(UserError, match="'voc' is unknown; write"):
        names_of(tmp_path, bare, suffix=":voc")


def test_detections_json_of_predict(tmp_path, caplog):
    mask = {"size": [20, 30], "counts": [100, 20, 480]}
    one = {"class": "Car", "score": 0.9, "box": [1.5, 2, 11.5, 6], "mask": mask}
    image = {"file": "far/x.png", "detections": [one]}
    content = {"format": "dmaskrcnn predict 1", "complete": True, "threshold": 0.5}
    path = tmp_path / "detections.json"

    def load(**changes):
        path.write_text(json.dumps(content | {"images": [image]} | changes))
        return load_results(
            path, ["a", "x"], OTHER, [(20, 30)] * 2, [tmp_path / "a.png", tmp_path / "x.png"]
        )

    found = load()
    assert [len(d) for d in found] == [0, 1]
    assert found[1].names == ["car"]
    assert found[1].boxes.tolist() == [[1.5, 2, 11.5, 6]]
    assert int(found[1].masks.sum()) == 20
    assert "at least 0.5 alone" in caplog.text
    for changes, message in (
        ({"complete": False}, "interrupted"),
        ({"images": 3}, "no list 'detections'"),
        ({"images": [{"file": "x.png", "detections": [{"box": [1, 2, 3]}]}]}, "no box"),
        (
            {"images": [{"file": "x.png", "detections": [one | {"class": 3}]}]},
            "category_id is missing",
        ),
    ):
        with pytest.raises(UserError, match=message):
            load(**changes)

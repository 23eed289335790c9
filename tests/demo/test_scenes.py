"""Rendered scenes: reproducible, consistent in themselves, readable by others."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.data.rle import run_lengths
from dmaskrcnn.demo import CLASSES, SKY_DEPTH, render_scene, street, write_scenes
from dmaskrcnn.demo.parts import block
from dmaskrcnn.demo.raster import Camera, Canvas, Face, Light
from dmaskrcnn.demo.things import BUILDERS
from dmaskrcnn.errors import UserError

SMALL = (80, 112)


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(seed, 120, 168) for seed in range(12)]


def test_types_and_ranges(scenes):
    for scene in scenes:
        n = len(scene.labels)
        assert scene.image.shape == (120, 168, 3)
        assert scene.image.dtype == np.uint8
        assert scene.depth.dtype == np.float32
        assert scene.depth.shape == (120, 168)
        assert scene.depth.min() > 1
        assert scene.depth.max() == SKY_DEPTH
        assert scene.masks.shape == (n, 120, 168)
        assert scene.masks.dtype == bool
        assert scene.boxes.shape == (n, 4)
        assert scene.boxes.dtype == np.float32
        assert scene.labels.dtype == np.int64
        assert n <= 6
        assert (scene.labels < len(CLASSES)).all()
    assert np.mean([len(s.labels) for s in scenes]) > 2
    assert {int(i) for s in scenes for i in s.labels} == set(range(len(CLASSES)))


def test_masks_are_disjoint_and_boxes_tight(scenes):
    for scene in scenes:
        assert scene.masks.sum(0).max(initial=0) <= 1
        for mask, (x0, y0, x1, y1) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            assert mask.sum() >= 24
            assert mask.sum() == mask[y0:y1, x0:x1].sum()
            inside = mask[y0:y1, x0:x1]
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()


def test_depth_of_an_object_is_its_distance(scenes):
    for scene in scenes:
        for mask, distance in zip(scene.masks, scene.distances, strict=True):
            # A bus is 11 m long, and the line of sight is longer than the way along the road.
            assert distance - 7 < np.median(scene.depth[mask]) < distance * 1.25 + 1


@pytest.mark.parametrize("seed", range(4))
def test_what_hides_is_nearer(seed, monkeypatch):
    """The painter's order gives what a depth buffer would: each pixel shows the nearest of the
    things drawn one by one."""
    whole = render_scene(seed, *SMALL)
    place = street.place_things
    nearest, shown = np.full(SMALL, np.inf, dtype=np.float32), []
    for k in range(len(whole.labels)):
        monkeypatch.setattr(
            street,
            "place_things",
            lambda *a, k=k: [
                thing for thing in place(*a) if np.float32(thing.z) == whole.distances[k]
            ],
        )
        alone = render_scene(seed, *SMALL)
        assert len(alone.labels) == 1
        nearest = np.minimum(nearest, alone.depth)
        shown.append(alone.masks[0])
    assert (np.abs(whole.depth - nearest) < 0.02 * nearest).mean() > 0.998
    for mask, alone in zip(whole.masks, shown, strict=True):
        assert not (mask & ~alone).any()


def test_ground_depth_follows_the_pinhole_model():
    camera = Camera(100, 140, 120.0, 40.0, (0.0, 2.0, 0.0))
    canvas = Canvas(camera, Light((0, 1, 0), 0.5, 0.5, (1, 1, 1)))
    canvas.draw(
        [
            Face(
                np.array([(-500, 0, -5), (500, 0, -5), (500, 0, 5000), (-500, 0, 5000.0)]),
                (0.5, 0.5, 0.5),
                "ground",
            )
        ]
    )
    normal = canvas.planes[1]
    for row in (60, 80, 99):
        slope = (camera.horizon - row) / camera.focal
        assert 1 / (normal @ [0.3, slope, 1.0]) == pytest.approx(2.0 / -slope)
    assert np.asarray(canvas.numbers)[-1].min() == 1
    assert np.asarray(canvas.numbers)[0].max() == 0


def test_faces_turned_away_are_not_drawn():
    canvas = Canvas(
        Camera(100, 140, 120.0, 40.0, (0.0, 2.0, 0.0)), Light((0, 1, 0), 0.5, 0.5, (1, 1, 1))
    )
    canvas.draw(block((-1, 1), (0, 1), (5, 7), (0.5, 0.5, 0.5)))
    assert len(canvas.planes) == 1 + 2  # the sky, and of the box its rear and its top


@pytest.mark.parametrize("name", CLASSES)
def test_models_keep_to_their_size(name):
    for seed in range(5):
        model = BUILDERS[name](np.random.default_rng(seed))
        points = np.concatenate([f.points for part in model.parts for f in part])
        width, height, length = model.size
        assert np.abs(points[:, 0]).max() <= width / 2 + 0.2
        assert np.abs(points[:, 2]).max() <= length / 2 + 0.2
        assert points[:, 1].max() == pytest.approx(height, abs=0.1)
        assert points[:, 1].min() > -0.05


DIGEST = """
import hashlib
from dmaskrcnn.demo import render_scene
scene = render_scene(3, 80, 112)
parts = (scene.image, scene.depth, scene.masks, scene.boxes)
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_same_seed_same_scene_in_another_process():
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        result = subprocess.run(
            [sys.executable, "-c", DIGEST],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        digests.add(result.stdout.strip())
    scene = render_scene(3, 80, 112)
    parts = (scene.image, scene.depth, scene.masks, scene.boxes)
    digests.add(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
    assert len(digests) == 1
    assert (render_scene(4, 80, 112).image != scene.image).any()


def test_a_size_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 32"):
        render_scene(0, 16, 224)


def test_a_street_without_objects(monkeypatch):
    monkeypatch.setattr("dmaskrcnn.demo.street.place_things", lambda *_: [])
    scene = render_scene(0, *SMALL)
    assert scene.masks.shape == (0, *SMALL)
    assert scene.boxes.shape == (0, 4)
    assert scene.labels.shape == (0,)


def test_folder_round_trip(tmp_path):
    folder = write_scenes(tmp_path / "clear", 3, seed=5, size=SMALL)
    data = open_dataset(folder)
    assert data.classes == CLASSES
    assert len(data) == 3
    for index in range(3):
        sample, scene = data.load(index), render_scene(5_000_000 + index, *SMALL)
        np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), scene.image)
        assert sample.objects is not None
        np.testing.assert_array_equal(sample.objects.masks.numpy(), scene.masks)
        np.testing.assert_array_equal(sample.objects.boxes.numpy(), scene.boxes)
        np.testing.assert_array_equal(sample.objects.labels.numpy(), scene.labels)


def test_hazy_folder_shows_the_same_streets(tmp_path):
    clear = write_scenes(tmp_path / "clear", 2, seed=5, size=SMALL)
    hazy = write_scenes(tmp_path / "hazy", 2, seed=5, size=SMALL, visibility=(20, 40))
    again = write_scenes(tmp_path / "again", 2, seed=5, size=SMALL, visibility=(20, 40))
    assert json.loads((clear / "annotations.json").read_text()) == json.loads(
        (hazy / "annotations.json").read_text()
    )
    for name in ("000000.png", "000001.png"):
        assert (hazy / "images" / name).read_bytes() == (again / "images" / name).read_bytes()
        contrasts = [np.asarray(Image.open(f / "images" / name)).std() for f in (clear, hazy)]
        assert contrasts[1] < 0.75 * contrasts[0]


def test_unlabelled_folder_holds_images_only(tmp_path):
    folder = write_scenes(
        tmp_path / "target", 2, seed=6, size=SMALL, visibility=(20, 40), labelled=False
    )
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["000000.png", "000001.png"]
    assert len(open_images(folder)) == 2


def test_earlier_files_are_kept(tmp_path):
    folder = write_scenes(tmp_path / "a", 1, seed=0, size=SMALL)
    before = (folder / "annotations.json").read_bytes()
    with pytest.raises(UserError, match="already holds files"):
        write_scenes(folder, 1, seed=1, size=SMALL)
    assert (folder / "annotations.json").read_bytes() == before
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="cannot hold"):
        write_scenes(file, 1, seed=0, size=SMALL)


def test_run_lengths_are_cocos():
    from faster_coco_eval.core import mask as coco

    rng = np.random.default_rng(0)
    for mask in (rng.random((5, 7)) < 0.4, np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        counts = run_lengths(mask)
        assert sum(counts) == mask.size
        encoded = coco.frPyObjects({"size": list(mask.shape), "counts": counts}, *mask.shape)
        np.testing.assert_array_equal(coco.decode(encoded).astype(bool), mask)

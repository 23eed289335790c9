"""`dmaskrcnn haze`: data sets behind haze open as what they were, and obey the scattering model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import coco_object, voc_object, write_coco, write_image, write_voc
from disk import contents
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import decode_image, open_dataset, open_images
from dmaskrcnn.demo import render_scene
from dmaskrcnn.haze import ray_length
from dmaskrcnn.images.haze import HazeConditions, haze_images

FOCAL = 50.0  # px


def hwc(path: Path) -> np.ndarray:
    return np.asarray(decode_image(path).permute(1, 2, 0)).astype(float)


def transmission_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "I;16"
        return np.asarray(picture) / 65535


def test_labels_survive_and_the_pictures_obey_the_scattering_model(
    clear: Path, tmp_path: Path, capsys
):
    out = tmp_path / "out"
    main(f"haze {clear} --visibility 20 37.5 --out {out} --airlight 0.8 0.7 0.6".split())
    assert capsys.readouterr().out.startswith("6 images hazed at 2 visibilities, ")
    before = open_dataset(clear)
    for name in ("20", "37.5"):
        after = open_dataset(out / f"visibility-{name}")
        assert (after.classes, after.category_ids, after.image_ids) == (
            before.classes,
            before.category_ids,
            before.image_ids,
        )
        for i in range(len(before)):
            old, new = before.load(i), after.load(i)
            assert old.objects is not None
            assert new.objects is not None
            for field in ("boxes", "labels", "masks", "has_mask", "crowd", "difficult"):
                assert torch.equal(getattr(old.objects, field), getattr(new.objects, field))
            t = transmission_of(out / f"transmission-{name}" / f"{before.paths[i].stem}.png")[
                ..., None
            ]
            expected = hwc(before.paths[i]) * t + 255 * np.array([0.8, 0.7, 0.6]) * (1 - t)
            assert np.abs(hwc(after.paths[i]) - expected).max() < 0.52
    thick, thin = (
        transmission_of(out / f"transmission-{name}" / "000000.png") for name in ("20", "37.5")
    )
    np.testing.assert_allclose(
        np.log(thick[thin > 0.1]) / np.log(thin[thin > 0.1]), 37.5 / 20, rtol=0.01
    )
    # no transmission
    assert {p.name for p in open_images(out / "visibility-20").paths} == {
        p.name for p in before.paths
    }


def test_true_depth_gives_the_transmission_of_koschmieders_law(tmp_path: Path):
    scene = render_scene(5, 48, 64)
    (tmp_path / "in").mkdir()
    Image.fromarray(scene.image).save(tmp_path / "in" / "s_leftImg8bit.png")
    focal_baseline = 500.0
    unknown = scene.depth > 1000  # the sky
    millimetres = np.where(scene.depth < 65, scene.depth * 1000, 0).round().astype(np.uint16)
    disparity = np.where(unknown, 0, focal_baseline / scene.depth)
    for name, values in (
        ("metres/s.npy", scene.depth),
        ("named/deep/er/s_depth.npz", scene.depth[None]),
        ("mm/s_depth.png", millimetres),
        (
            "stereo/s_disparity.png",
            np.where(unknown, 0, 256 * disparity + 1).round().astype(np.uint16),
        ),
        ("pixels/s.npy", disparity),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        if path.suffix == ".npz":
            np.savez(path, other=np.zeros(3), depth=values)
        elif path.suffix == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
        flags = f"--disparity {tmp_path}/{path.parent.name} --focal-baseline {focal_baseline}"
        if name.startswith(("metres", "named", "mm")):
            flags = f"--depth {tmp_path}/{name.split('/')[0]}"
        out = tmp_path / f"out-{name.split('/')[0]}"
        main(f"haze {tmp_path}/in --visibility 60 --focal {FOCAL} --out {out} {flags}".split())
        t = transmission_of(out / "transmission-60" / "s_leftImg8bit.png")
        compared = scene.depth < 65 if name.startswith("mm") else ~unknown
        expected = np.exp(-np.log(20) / 60 * ray_length(scene.depth, FOCAL))
        assert np.abs(t - expected)[compared].max() < 0.002, name
        if path.suffix != ".png" and "pixels" not in name:
            assert t[unknown].max() < 1e-3
    assert json.loads((out / "haze.json").read_text())["depth"] == "disparity"


def test_png_depth_in_other_units(tmp_path: Path):
    write_image(tmp_path / "in" / "x.png")
    (tmp_path / "kitti").mkdir()
    Image.fromarray(np.full((20, 30), 10 * 256, np.uint16)).save(tmp_path / "kitti" / "x.png")
    main(
        f"haze {tmp_path}/in --visibility 50 --out {tmp_path}/out --depth {tmp_path}/kitti "
        "--depth-scale 0.00390625 --focal inf".split()  # lengths of lines of sight already
    )
    assert transmission_of(tmp_path / "out" / "transmission-50" / "x.png") == pytest.approx(
        np.exp(-np.log(20) / 5), abs=1e-4
    )


def test_pascal_voc_becomes_coco_with_its_flags(tmp_path: Path):
    source = write_voc(
        tmp_path / "voc",
        {
            "a": voc_object("Motorbike") + voc_object("car", extra="<difficult>1</difficult>"),
            "b": "",
        },
    )
    haze_images([source], tmp_path / "out", HazeConditions((100,)), progress=False)
    before, after = open_dataset(source), open_dataset(tmp_path / "out" / "visibility-100")
    assert after.classes == before.classes == ("car", "motorcycle")
    assert [path.name for path in after.paths] == ["a.png", "b.png"]
    assert after.image_ids == [1, 2]
    for i in range(2):
        old, new = before.annotations(i), after.annotations(i)
        assert torch.equal(old.boxes, new.boxes)
        assert torch.equal(old.difficult, new.difficult)
        assert not new.has_mask.any()
    coco = json.loads((tmp_path / "out" / "visibility-100" / "annotations.json").read_text())
    assert [a.get("difficult") for a in coco["annotations"]] == [None, 1]


def test_every_way_to_write_a_mask_survives(tmp_path: Path):
    polygon = [[2.0, 3.0, 12.0, 3.0, 12.0, 11.0]]
    rle = {"size": [20, 30], "counts": [0, 5, 595]}
    objects = [
        coco_object(1, segmentation=polygon),
        coco_object(2, segmentation=rle, bbox=(0, 0, 1, 5), iscrowd=1),
        coco_object(3),
    ]
    source = write_coco(tmp_path, objects)
    haze_images([source], tmp_path / "out", HazeConditions((100,)), progress=False)
    coco = json.loads((tmp_path / "out" / "visibility-100" / "annotations.json").read_text())
    assert [a.get("segmentation") for a in coco["annotations"]] == [polygon, rle, None]
    assert [a["area"] for a in coco["annotations"]][1:] == [5, 80]
    assert [a["iscrowd"] for a in coco["annotations"]] == [0, 1, 0]


def test_several_data_sets_keep_names_apart(tmp_path: Path):
    paths = [write_coco(tmp_path / name, [coco_object(1)]) for name in ("one", "two")]
    (tmp_path / "two" / "images" / "001.png").rename(tmp_path / "two" / "images" / "002.JPG")
    text = paths[1].read_text().replace("001.png", "002.JPG")
    paths[1].write_text(text)
    haze_images(paths, tmp_path / "out", HazeConditions((100,)), progress=False)
    data = open_dataset(tmp_path / "out" / "visibility-100")
    names = [
        p.relative_to(tmp_path / "out" / "visibility-100" / "images").as_posix() for p in data.paths
    ]
    assert names == [
        "one/images/001.png",
        "one/images/002.png",
        "two/images/002.JPG",
        "two/images/002-2.png",
    ]
    assert data.image_ids == [1, 2, 3, 4]


def test_awkward_pictures(tmp_path: Path, capsys):
    """Grey, 16 bits, transparent, turned, one pixel, broken: as in `dehaze`."""
    photos = tmp_path / "photos"
    write_image(photos / "a" / "turned.jpg", 40, 60, orientation=6)
    picture = Image.open(photos / "a" / "turned.jpg")
    picture.convert("L").save(photos / "grey.pgm")
    picture.convert("RGBA").save(photos / "alpha.webp")
    Image.fromarray(np.full((9, 300), 30000, np.uint16)).save(photos / "deep.png")
    Image.new("RGB", (1, 1), "red").save(photos / "pixel.bmp")
    (photos / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    main(f"haze {photos} --visibility 50 --out {out} --inhomogeneity 0.3".split())
    shown = capsys.readouterr()
    assert shown.out.startswith("5 images hazed, 1 unreadable skipped")
    assert "broken.png: cannot read the picture" in shown.err
    names = {
        path.relative_to(out / "visibility-50" / "images").as_posix()
        for path in open_dataset(out / "visibility-50").paths
    }
    assert names == {"a/turned.jpg", "grey.png", "alpha.webp", "deep.png", "pixel.bmp"}
    assert decode_image(out / "visibility-50" / "images" / "a" / "turned.jpg").shape == (3, 60, 40)
    assert transmission_of(out / "transmission-50" / "a" / "turned.png").shape == (60, 40)
    assert not (out / "visibility-50" / "annotations.json").exists()
    content = json.loads((out / "haze.json").read_text())
    assert content["complete"] is True
    assert content["skipped"][0]["file"].endswith("broken.png")
    assert set(content["files"]) == set(contents(out)) - {"haze.json"}


def test_haze_depends_on_seed_and_image_alone(clear: Path, tmp_path: Path):
    conditions = HazeConditions((30, 90), inhomogeneity=0.3, seed=4)
    haze_images([clear], tmp_path / "all", conditions, progress=False)
    haze_images([clear], tmp_path / "again", conditions, progress=False)
    haze_images(
        [clear],
        tmp_path / "other",
        HazeConditions((30, 90), inhomogeneity=0.3, seed=5),
        progress=False,
    )
    haze_images(
        [clear / "images" / "000003.png"],
        tmp_path / "one",
        HazeConditions((30,), seed=4),
        progress=False,
    )
    digests = contents(tmp_path / "all")
    assert digests == contents(tmp_path / "again")
    picture = "visibility-30/images/000003.png"
    assert digests[picture] != contents(tmp_path / "other")[picture]
    entries = {
        e["picture"]: e
        for e in json.loads((tmp_path / "all" / "haze.json").read_text())["pictures"]
    }
    (alone,) = json.loads((tmp_path / "one" / "haze.json").read_text())["pictures"]
    assert (
        alone["airlight"] == entries["000003.png"]["airlight"] != entries["000002.png"]["airlight"]
    )
    optical_depth = [
        -np.log(transmission_of(tmp_path / "all" / f"transmission-{v}" / "000003.png")[50:])
        for v in (30, 90)
    ]
    # the patches stay in place
    np.testing.assert_allclose(optical_depth[0], 3 * optical_depth[1], rtol=0.02)


def test_wrong_annotations_are_left_out_on_demand(tmp_path: Path):
    source = write_coco(tmp_path, [coco_object(1), coco_object(2, bbox=(2, 3, -1, 5))])
    main(f"haze {source} --visibility 30 --out {tmp_path}/out --drop-invalid".split())
    data = open_dataset(tmp_path / "out" / "visibility-30")
    assert sum(len(data.annotations(i)) for i in range(len(data))) == 1

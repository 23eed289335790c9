"""`dmaskrcnn haze`: data sets behind haze open as what they were, obey the scattering model, and
hurt no file of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import coco_object, voc_object, write_coco, write_image, write_voc
from disk import contents, full_disk
from PIL import Image

from dmaskrcnn.cli.main import main
from dmaskrcnn.data import Annotations, Sample, decode_image, open_dataset, open_images
from dmaskrcnn.demo import render_scene
from dmaskrcnn.errors import UserError
from dmaskrcnn.images import haze as folder
from dmaskrcnn.images import jobs as image_jobs
from dmaskrcnn.images.haze import HazeConditions, haze_images


def hwc(path: Path) -> np.ndarray:
    return np.asarray(decode_image(path).permute(1, 2, 0)).astype(float)


def transmission_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "I;16"
        return np.asarray(picture) / 65535


# --- what is written ------------------------------------------------------------------------------


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
        main(f"haze {tmp_path}/in --visibility 60 --out {out} {flags}".split())
        t = transmission_of(out / "transmission-60" / "s_leftImg8bit.png")
        compared = scene.depth < 65 if name.startswith("mm") else ~unknown
        expected = np.exp(-np.log(50) / 60 * scene.depth)
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
        "--depth-scale 0.00390625".split()
    )
    assert transmission_of(tmp_path / "out" / "transmission-50" / "x.png") == pytest.approx(
        np.exp(-np.log(50) / 5), abs=1e-4
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


# --- files of others, and ends before the end -----------------------------------------------------


def test_only_files_of_earlier_runs_are_overwritten(clear: Path, tmp_path: Path):
    out = tmp_path / "out"
    haze_images([clear], out, HazeConditions((30,)), progress=False)
    haze_images([clear], out, HazeConditions((30, 60), seed=1), progress=False)
    haze_images([clear], out, HazeConditions((60,)), progress=False)
    assert {p.name for p in out.iterdir()} == {
        *(f"{kind}-{v}" for kind in ("visibility", "transmission") for v in (30, 60)),
        "haze.json",
    }
    mine = out / "transmission-90" / "000002.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    before = contents(out)
    with pytest.raises(
        UserError,
        match=r"transmission-90.000002\.png: exists and was not written by dmaskrcnn haze",
    ):
        haze_images([clear], out, HazeConditions((30, 90)), progress=False)
    with pytest.raises(UserError, match="is an input and would be overwritten"):
        haze_images([out / "visibility-30"], out, HazeConditions((30,)), progress=False)
    assert contents(out) == before


def test_what_an_earlier_run_left_at_this_visibility_joins_no_new_data_set(
    clear: Path, tmp_path: Path
):
    out = tmp_path / "out"
    haze_images([clear], out, HazeConditions((30, 60)), progress=False)
    (out / "visibility-30" / "images" / "mine.txt").write_text("mine")
    (tmp_path / "others.txt").write_text("another's")
    listed = json.loads((out / "haze.json").read_text())
    # a list that was tampered with
    listed["files"] += ["visibility-30/../../others.txt", str(tmp_path / "others.txt"), "."]
    (out / "haze.json").write_text(json.dumps(listed))
    haze_images([clear / "images" / "000004.png"], out, HazeConditions((30,)), progress=False)
    assert {name for name in contents(out) if "-30/" in name} == {
        "transmission-30/000004.png",
        "visibility-30/images/000004.png",
        "visibility-30/images/mine.txt",
    }
    assert len(open_dataset(out / "visibility-60")) == 6
    # the labels were those of other pictures
    assert not open_dataset(out / "visibility-30").labelled
    assert (tmp_path / "others.txt").exists()


def test_wrong_annotations_are_left_out_on_demand(tmp_path: Path):
    source = write_coco(tmp_path, [coco_object(1), coco_object(2, bbox=(2, 3, -1, 5))])
    main(f"haze {source} --visibility 30 --out {tmp_path}/out --drop-invalid".split())
    data = open_dataset(tmp_path / "out" / "visibility-30")
    assert sum(len(data.annotations(i)) for i in range(len(data))) == 1


def test_a_mask_has_no_rim_of_clear_air():
    """Against a wall that looks the same: nothing but the mask tells where the object ends."""
    image = torch.full((3, 400, 640), 120, dtype=torch.uint8)
    mask = torch.zeros(1, 400, 640, dtype=torch.bool)
    mask[0, 100:380, 200:330] = True
    flag = torch.ones(1, dtype=torch.bool)
    box = torch.tensor([[200.0, 100.0, 330.0, 380.0]])
    sample = Sample(
        image,
        Path("x.png"),
        1,
        Annotations(box, torch.zeros(1, dtype=torch.int64), mask, flag, ~flag, ~flag),
    )
    for seed in range(3):
        depth = folder.picture_depth(sample, ("person",), np.random.default_rng(seed))
        assert np.ptp(depth[101:379, 201:329]) < 0.01 * depth[200, 250]
        assert depth[110, 205] < 0.8 * depth[110, 180]
        np.testing.assert_allclose(depth[110, :199], depth[110, 20], rtol=1e-3)


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path: Path):
    write_image(tmp_path / "x.png")
    for _ in range(2):
        assert (
            haze_images([tmp_path], tmp_path / "out", HazeConditions((30,)), progress=False).images
            == 1
        )
    (tmp_path / "x.png").unlink()
    with pytest.raises(UserError, match="no picture in it but those of an earlier run"):
        haze_images([tmp_path], tmp_path / "out", HazeConditions((30,)), progress=False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_a_data_set_of_what_is_done(
    clear: Path, tmp_path: Path, stop, monkeypatch
):
    out, original, calls = tmp_path / "out", folder.transmission, []

    def fails(*arguments):
        # before the first picture: they are ours even after kill -9
        assert (out / "haze.json").exists()
        if len(calls) >= 2 and stop is RuntimeError:
            raise stop
        return original(*arguments)

    def interrupted(_: object) -> None:  # in the main thread, where Ctrl-C arrives
        calls.append(1)
        if len(calls) == 2 and stop is KeyboardInterrupt:
            raise stop

    with monkeypatch.context() as patch:
        patch.setattr(folder, "transmission", fails)
        patch.setattr(image_jobs.Progress, "step", interrupted)
        with pytest.raises(stop):
            haze_images([clear], out, HazeConditions((30, 60)), progress=False)
    content = json.loads((out / "haze.json").read_text())
    done = [entry["picture"] for entry in content["pictures"]]
    assert content["complete"] is False
    assert 2 <= len(done) <= 5
    assert [p.name for p in open_dataset(out / "visibility-60").paths] == done
    assert haze_images([clear], out, HazeConditions((30, 60)), progress=False).images == 6
    assert json.loads((out / "haze.json").read_text())["complete"] is True
    assert not [name for name in contents(out) if Path(name).name.startswith(".")]


def test_a_full_disk_is_named_and_leaves_no_half_file(clear: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    with full_disk(room=4000), pytest.raises(SystemExit) as caught:
        main(f"haze {clear} --visibility 30 --out {out}".split())
    assert caught.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("haze:")]
    assert len(error) == 1
    assert "cannot be written" in error[0]
    for path in (p for p in out.rglob("*") if p.is_file()):
        if path.suffix == ".png":
            Image.open(path).load()
    assert not [name for name in contents(out) if Path(name).name.startswith(".")]
    main(f"haze {clear} --visibility 30 --out {out}".split())
    assert len(open_dataset(out / "visibility-30")) == 6


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("in", "--visibility"),
        ("in --visibility", "visibility"),
        ("in --visibility 0", "--visibility must be above 0 m and finite, got 0"),
        ("in --visibility nan", "--visibility must be above 0 m and finite, got nan"),
        ("in --visibility inf", "--visibility must be above 0 m and finite, got inf"),
        ("in --visibility 50 50.0", "--visibility 50 is given twice"),
        ("in --visibility fog", "invalid float|fog"),
        (
            "in --visibility 50 --airlight 0.5 2 0.5",
            "--airlight must be three numbers in [0, 1], got 0.5 2 0.5",
        ),
        ("in --visibility 50 --inhomogeneity -1", "--inhomogeneity must be in [0, 2], got -1"),
        ("in --visibility 50 --focal 0", "--focal must be above 0 px, got 0"),
        ("in --visibility 50 --seed -1", "--seed must not be negative, got -1"),
        ("in --visibility 50 --depth good --focal 500", "--focal has no use with depth maps"),
        (
            "in --visibility 50 --depth good --disparity good",
            "--depth and --disparity are both given",
        ),
        ("in --visibility 50 --disparity good", "--disparity and --focal-baseline belong together"),
        (
            "in --visibility 50 --focal-baseline 400",
            "--disparity and --focal-baseline belong together",
        ),
        (
            "in --visibility 50 --disparity good --focal-baseline -4",
            "--focal-baseline must be above 0",
        ),
        ("in --visibility 50 --depth good --depth-scale 0", "--depth-scale must be above 0"),
        ("in --visibility 50 --depth nowhere", "nowhere: no such folder"),
        ("in --visibility 50 --depth empty", "empty: no depth map in it"),
        (
            "in --visibility 50 --depth other",
            "other: no depth map for x.png; add x.png, .npy or .npz",
        ),
        ("in --visibility 50 --depth two", "two: several depth maps for x.png (x.npy, x.png)"),
        (
            "in --visibility 50 --depth small",
            "none of the 1 images can be read (small/x.npy: is 4x3, its picture 30x20",
        ),
        ("in --visibility 50 --depth 8bit", "8bit/x.png: no 16-bit grey PNG (its mode is L)"),
        ("in --visibility 50 --depth broken", "broken/x.npy: cannot read the depth map"),
        ("in --visibility 50 --depth pickled", "pickled/x.npy: cannot read the depth map"),
        ("in --visibility 50 --depth text", "text/x.npy: holds <U1 of shape (20, 30)"),
        ("in --visibility 50 --depth cube", "cube/x.npy: holds float64 of shape (20, 30, 2)"),
        (
            "in --visibility 50 --depth archive",
            "archive/x.npz: holds 2 arrays; call the one to use `depth`",
        ),
        ("in --visibility 50 --depth blank", "blank/x.npy: knows no distance"),
        ("missing --visibility 50", "missing: no such file or folder"),
        ("empty --visibility 50", "empty: no picture in it"),
        ("unreadable --visibility 50", "none of the 1 images can be read"),
        ("bad.json --visibility 50", "bad.json: annotations[id=1].bbox: "),
        ("coco.json in --visibility 50", "do not mix the two"),
        ("--visibility 50", "no images given"),
        ("in --visibility 50 --out in", "is the output folder and an input folder"),
        (
            "in --visibility 50 --out taken",
            "taken/haze.json: exists and was not written by dmaskrcnn haze",
        ),
        ("in --visibility 50 --out in/x.png", "cannot be written"),
    ],
)
def test_bad_input_ends_in_one_line(
    arguments: str, message: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "in" / "x.png")
    write_coco(tmp_path, [coco_object(1)], name="coco.json")
    write_coco(tmp_path, [coco_object(1, bbox=(2, 3, -1, 5))], name="bad.json")
    for name, values in (
        ("good/x", np.ones((20, 30))),
        ("other/y", np.ones((20, 30))),
        ("two/x", np.ones((20, 30))),
        ("small/x", np.ones((3, 4))),
        ("text/x", np.full((20, 30), "a")),
        ("cube/x", np.ones((20, 30, 2))),
        ("blank/x", np.full((20, 30), np.nan)),
        ("pickled/x", np.array([{}])),
    ):
        (tmp_path / name).parent.mkdir()
        np.save(tmp_path / f"{name}.npy", values)
    for name in ("8bit", "broken", "archive", "empty", "taken", "unreadable"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.ones((20, 30), np.uint16)).save("two/x.png")
    Image.new("L", (30, 20)).save("8bit/x.png")
    Path("broken/x.npy").write_bytes(b"nothing")
    np.savez("archive/x.npz", a=np.ones((20, 30)), b=np.ones((20, 30)))
    Path("taken/haze.json").write_text("{}")
    Path("unreadable/x.png").write_bytes(b"no picture")
    before = contents(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["haze", *arguments.split(), *([] if "--out" in arguments else ["--out", "out"])])
    assert caught.value.code == 2
    error = [
        line
        for line in capsys.readouterr().err.splitlines()
        if not line.startswith(("skipped", "haze:"))
    ]
    assert len(error) == 1
    assert any(part in error[0] for part in message.split("|"))
    assert contents(tmp_path) == before

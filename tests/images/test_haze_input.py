"""`dmaskrcnn haze`: bad input ends in one line, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import coco_object, write_coco, write_image
from disk import contents
from PIL import Image

from dmaskrcnn.cli.main import main


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
        ("in --visibility 50 --focal inf", "--focal must be above 0 px, got inf"),
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


def test_depth_in_a_wrong_unit_is_said_once(tmp_path: Path, caplog):
    (tmp_path / "maps").mkdir()
    for name in ("x", "y"):
        write_image(tmp_path / "in" / f"{name}.png")
        metres = np.full((20, 30), 20, np.uint16)
        Image.fromarray(metres).save(tmp_path / "maps" / f"{name}.png")
    command = f"haze {tmp_path}/in --visibility 50 --out {tmp_path}/out --depth {tmp_path}/maps"
    main(command.split())
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}/maps/x.png: is 0.02 to 0.02 m away")
    assert said.endswith("give --depth-scale, metres per unit of PNGs, if not 0.001")
    main([*command.split(), "--depth-scale", "1"])
    assert len(caplog.messages) == 1

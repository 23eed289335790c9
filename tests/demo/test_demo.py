from pathlib import Path

import pytest
from PIL import Image

from dmaskrcnn import Detector
from dmaskrcnn.demo.demo import Size, demo
from dmaskrcnn.errors import UserError


def test_the_whole_main_job_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = demo(tmp_path, seed=3, size=Size(clear=8, hazy=6, test=4, start=8, adapt=15))
    out = capsys.readouterr().out
    assert out.strip().splitlines()[-1] == str(folder) == str(tmp_path / "demo-1")
    table = (folder / "results.md").read_text()
    for row in (
        "baseline",
        "DMask R-CNN",
        "mean teacher",
        "mean teacher − baseline",
        "clear box AP50",
        "hazy mask AP50",
    ):
        assert row in table
        assert row in out
    with Image.open(folder / "pictures.jpg") as picture:
        assert picture.width > 900
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > 900
    assert Detector.load(folder / "dmask-1").classes == ("person", "car", "bus", "motorcycle")
    # unlabelled means unlabelled
    assert not (folder / "scenes" / "hazy" / "annotations.json").exists()


@pytest.mark.parametrize(
    ("options", "said"), [({"out": "file/runs"}, "--out"), ({"out": "runs", "seed": -1}, "--seed")]
)
def test_bad_input_leaves_nothing(tmp_path: Path, options: dict, said: str):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        demo(**options | {"out": tmp_path / options["out"]})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

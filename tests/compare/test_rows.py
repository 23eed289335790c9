"""`dmaskrcnn compare`: what is computed, what is found again, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import coco_object, write_coco, write_image
from disk import contents, full_disk
from PIL import Image

from dmaskrcnn import Detector, evaluate, open_dataset
from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.rows import compare, load_comparison
from dmaskrcnn.data import decode_image
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.evaluation.seeds import over_seeds
from dmaskrcnn.images.dehazed_set import dehazed_paths
from dmaskrcnn.run import create_run_folder

CONFIG = DetectorConfig(
    backbone="resnet18",
    fpn_channels=16,
    box_head_width=16,
    mask_head_layers=1,
    image_size=64,
    max_size=96,
    max_detections=8,
)
ALL = ("none", "dark-channel", "mscnn", "mscnn-released", "aod-net")


def save_detector(folder: Path, *classes: str, seed: int = 0) -> Path:
    """An untrained detector, which finds something everywhere."""
    torch.manual_seed(seed)
    Detector(classes or ("person", "car"), CONFIG).save(folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [save_detector(folder / "source-1", seed=0), save_detector(folder / "grl-1", seed=1)]


@pytest.fixture
def own(runs: list[Path], clear: Path, tmp_path: Path) -> tuple[list[Path], Path]:
    """Copies of runs and test set that a test may change."""
    copies = [Path(shutil.copytree(run, tmp_path / "runs" / run.name)) for run in runs]
    return copies, Path(shutil.copytree(clear, tmp_path / "test"))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes longer than all else, and has tests of its own."""
    monkeypatch.setattr(
        "dmaskrcnn.report.write_report",
        lambda out, *_, **__: (out / "report.html").write_text("dmaskrcnn report"),
    )


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the images that were dehazed and those that were looked at by a detector."""
    counts = {"dehazed": 0, "detected": 0}
    dehaze, predict = Dehazer.__call__, Detector.predict

    def counted_dehaze(self: Dehazer, images: torch.Tensor) -> Any:
        counts["dehazed"] += 1
        return dehaze(self, images)

    def counted_predict(self: Detector, images: Any, threshold: float = 0.5) -> Any:
        counts["detected"] += len(images)
        return predict(self, images, threshold)

    monkeypatch.setattr(Dehazer, "__call__", counted_dehaze)
    monkeypatch.setattr(Detector, "predict", counted_predict)
    return counts


def again(work: dict[str, int], *arguments: Any, **options: Any) -> tuple[int, int]:
    """Compare, and say how many images were dehazed and detected in."""
    work.update(dehazed=0, detected=0)
    compare(*arguments, **options)
    return work["dehazed"], work["detected"]


def test_every_run_with_every_dehazing(
    runs: list[Path], clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "compare"
    arguments = [
        "--runs",
        *map(str, runs),
        "--dehaze",
        "none",
        "mscnn",
        "--data",
        str(clear),
        "--out",
        str(out),
    ]
    main(["compare", *arguments, "--bootstrap", "20", "--device", "cpu"])
    said = capsys.readouterr()
    assert said.out.splitlines()[-2:] == [f"report: {out / 'report.html'}", str(out)]
    assert max(map(len, said.out.splitlines()[:-3])) <= 118
    assert "4/4 MSCNN + grl-1: VOC AP50 " in said.err

    comparison = load_comparison(out)
    assert [row.name for row in comparison.rows] == [
        "source-1",
        "grl-1",
        "MSCNN + source-1",
        "MSCNN + grl-1",
    ]
    assert [row.dehaze for row in comparison.rows] == ["none", "none", "mscnn", "mscnn"]
    assert all(row.seconds_per_image > 0 for row in comparison.rows)
    assert comparison.data == (clear.resolve(),)
    assert comparison.images == {"mscnn": out / "dehazed" / "mscnn"}
    expected = evaluate(runs[1], clear, bootstrap=20, device="cpu")
    ours = comparison.rows[1].scores
    assert (ours.to_dict(), ours.fingerprint) == (expected.to_dict(), expected.fingerprint)
    np.testing.assert_array_equal(ours["box/AP"].replicates, expected["box/AP"].replicates)

    data = open_dataset(clear)
    dehazer = Dehazer("mscnn")
    pictures = [dehazer(data.load(i).image)[0] for i in range(len(data))]
    for path, picture in zip(dehazed_paths(data, out / "dehazed" / "mscnn"), pictures, strict=True):
        assert torch.equal(decode_image(path), picture)
    found = Detector.load(runs[0]).set_precision().predict(pictures[:4], threshold=0)
    entries = json.loads(comparison.rows[2].predictions[0].read_text())
    here = [entry["score"] for entry in entries if entry["image_id"] == data.image_ids[1]]
    assert here == found[1].scores.tolist()

    table = (out / "comparison.md").read_text()
    assert "| MSCNN + grl-1 | " in table
    assert "## Difference to source-1, in points" in table
    with (out / "comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    change = next(r for r in lines if (r["row"], r["metric"]) == ("MSCNN + grl-1", "legacy/mAP"))
    difference = comparison.differences()[3]["legacy/mAP"]
    assert float(change["difference"]) == pytest.approx(difference.value, abs=1e-6)
    assert {r["metric"] for r in lines} == {*ours.metrics, "seconds_per_image"}
    assert "MSCNN" in (out / "report.html").read_text()


@pytest.mark.usefixtures("no_report")
class TestWhatIsFoundAgain:
    def test_all_of_it(self, own: tuple[list[Path], Path], tmp_path: Path, work: dict[str, int]):
        runs, data = own
        out = tmp_path / "out"
        options = {"dehaze": ["none", "dark-channel"], "out": out, "bootstrap": 10}
        assert again(work, runs[:1], [data], **options) == (6, 12)
        before = contents(out)
        assert again(work, runs[:1], [data], **options) == (0, 0)
        assert contents(out) == before
        assert again(work, runs, [data], **options) == (0, 12)  # another run
        assert again(
            work, runs, [data], **options | {"dehaze": ["aod-net", "none"], "bootstrap": 5}
        ) == (6, 12)
        assert again(work, runs, [data], **options | {"classes": ["car"]}) == (0, 0)

    def test_not_what_belongs_to_other_inputs(
        self, own: tuple[list[Path], Path], tmp_path: Path, work: dict[str, int]
    ):
        runs, data = own
        options = {"dehaze": ["none", "dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        compare(runs, [data], **options)
        first = load_comparison(tmp_path / "out").rows[3].predictions[0].read_text()
        save_detector(runs[1], seed=7)  # trained again
        assert again(work, runs, [data], **options) == (0, 12)
        assert load_comparison(tmp_path / "out").rows[3].predictions[0].read_text() != first
        write_image(sorted((data / "images").iterdir())[2], 64, 96)
        assert again(work, runs, [data], **options) == (6, 24)
        dehazed = sorted((tmp_path / "out" / "dehazed" / "dark-channel").glob("*.png"))
        dehazed[1].unlink()
        assert again(work, runs, [data], **options) == (1, 0)
        predictions = tmp_path / "out" / "predictions" / "none" / "grl-1.json"
        predictions.write_text("[]")
        assert again(work, runs, [data], **options) == (0, 6)
        assert predictions.read_text() != "[]"

    def test_test_set_that_became_smaller(self, own: tuple[list[Path], Path], tmp_path: Path):
        runs, data = own
        options = {"dehaze": ["dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        compare(runs[:1], [data], **options)
        table = json.loads((data / "annotations.json").read_text())
        table["images"] = table["images"][:2]
        table["annotations"] = [a for a in table["annotations"] if a["image_id"] <= 2]
        (data / "annotations.json").write_text(json.dumps(table))
        assert compare(runs[:1], [data], **options).rows[0].scores.images == 2
        assert len(list((tmp_path / "out" / "dehazed" / "dark-channel").glob("*.png"))) == 2

    def test_interruption_keeps_finished_rows(
        self,
        runs: list[Path],
        clear: Path,
        tmp_path: Path,
        work: dict[str, int],
        monkeypatch: pytest.MonkeyPatch,
    ):
        options = {"dehaze": ["none", "dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        predict, dehaze = Detector.predict, Dehazer.__call__

        def stop(what: str, after: int, function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any, **keywords: Any) -> Any:
                if work[what] >= after:
                    raise KeyboardInterrupt
                return function(*arguments, **keywords)

            return run

        monkeypatch.setattr(Detector, "predict", stop("detected", 10, predict))  # in the second row
        with pytest.raises(KeyboardInterrupt):
            compare(runs, [clear], **options)
        monkeypatch.setattr(Detector, "predict", predict)
        monkeypatch.setattr(Dehazer, "__call__", stop("dehazed", 4, dehaze))
        work.update(dehazed=0, detected=0)
        with pytest.raises(KeyboardInterrupt):
            compare(runs, [clear], **options)
        assert work == {"dehazed": 4, "detected": 6}
        monkeypatch.setattr(Dehazer, "__call__", dehaze)
        assert again(work, runs, [clear], **options) == (2, 12)

    def test_full_disk_keeps_the_comparison_before(
        self, runs: list[Path], clear: Path, tmp_path: Path
    ):
        options = {"out": tmp_path / "out", "bootstrap": 0}
        compare(runs[:1], [clear], **options)
        before = contents(tmp_path / "out")
        with (
            full_disk(2000),
            pytest.raises(UserError, match=r"(\.png|grl-1\.json|cache\.json): cannot be written"),
        ):
            compare(runs, [clear], ["none", "dark-channel"], **options)
        after = contents(tmp_path / "out")
        assert {name: after[name] for name in before} == before
        assert len(compare(runs, [clear], ["none", "dark-channel"], **options).rows) == 4


@pytest.mark.usefixtures("no_report")
def test_seeds_share_a_row(clear: Path, tiny: Callable[..., Any], tmp_path: Path):
    runs = []
    for seed in (0, 1):
        runs.append(create_run_folder(tiny(method="source", seed=seed)))
        save_detector(runs[-1], seed=seed)
    comparison = compare(
        list(reversed(runs)),
        [clear],
        ["none", "aod-net"],
        tmp_path / "out",
        bootstrap=20,
        device="cpu",
    )
    assert [(row.name, row.runs) for row in comparison.rows] == [
        ("source", tuple(runs)),
        ("AOD-Net + source", tuple(runs)),
    ]
    expected = over_seeds([evaluate(run, clear, bootstrap=20, device="cpu") for run in runs])
    assert comparison.rows[0].scores.to_dict() == expected.to_dict()
    assert len(comparison.rows[1].predictions) == 2
    assert "6 images and the 2 seeds" in (tmp_path / "out" / "comparison.md").read_text()


@pytest.mark.usefixtures("no_report")
def test_predictions_of_others(runs: list[Path], tmp_path: Path):
    data = write_coco(tmp_path, [coco_object(1), coco_object(2, category=7)])
    results = tmp_path / "yolo.json"
    results.write_text(
        json.dumps([{"image_id": 1, "category_id": 3, "bbox": [2, 3, 10, 8], "score": 0.9}])
    )
    comparison = compare([runs[0], results, results], [data], out=tmp_path / "out", bootstrap=10)
    (ours, theirs) = comparison.rows
    assert (theirs.name, theirs.predictions, np.isnan(theirs.seconds_per_image)) == (
        "yolo",
        (results,),
        True,
    )
    assert theirs.scores["voc/AP50/car"].value == pytest.approx(1)
    assert list(ours.scores.objects) == ["car"]  # the run knows no motorcycle
    assert np.isnan(load_comparison(tmp_path / "out").rows[1].seconds_per_image)
    with pytest.raises(
        UserError, match=r"yolo\.json: predictions were made already.*--dehaze none"
    ):
        compare([results], [data], ["none", "mscnn"], tmp_path / "out")


@pytest.mark.usefixtures("no_report")
def test_odd_pictures(runs: list[Path], tmp_path: Path):
    """One pixel; grey; 16 bits; transparent; and two of the same name."""
    data = write_coco(tmp_path, [coco_object(1)], images=5)
    table = json.loads(data.read_text())
    rng = np.random.default_rng(0)
    odd = {
        "1": Image.fromarray(rng.integers(0, 255, (1, 1, 3), dtype=np.uint8)),
        "2": Image.fromarray(rng.integers(0, 255, (20, 30), dtype=np.uint8)),
        "3": Image.fromarray(rng.integers(0, 65535, (20, 30), dtype=np.uint16)),
        "4": Image.fromarray(rng.integers(0, 255, (20, 30, 4), dtype=np.uint8)),
        "a/4": Image.fromarray(rng.integers(0, 255, (2, 300, 3), dtype=np.uint8)),
    }
    (tmp_path / "images" / "a").mkdir()
    for image, (name, picture) in zip(table["images"], odd.items(), strict=True):
        picture.save(tmp_path / "images" / f"{name}.png")
        image.update(file_name=f"{name}.png", width=picture.width, height=picture.height)
    table["annotations"] = [coco_object(1, image=2)]
    data.write_text(json.dumps(table))
    comparison = compare(runs[:1], [data], ALL, tmp_path / "out", bootstrap=10)
    assert len(comparison.rows) == 5
    paths = dehazed_paths(open_dataset(data), tmp_path / "out" / "dehazed" / "mscnn")
    for path, picture in zip(paths, odd.values(), strict=True):
        with Image.open(path) as dehazed:
            assert (dehazed.mode, dehazed.size) == ("RGB", picture.size)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as it should, and return its message."""

    def run(*arguments: object, said_before: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["compare", *map(str, arguments)])
        said = capsys.readouterr()
        assert (stop.value.code, said.out, said.err.count("\n")) == (2, "", 1 + said_before), (
            said.err
        )
        return said.err.splitlines()[-1].removeprefix("dmaskrcnn: ")

    return run


def test_bad_input(
    runs: list[Path], clear: Path, hazy: Path, tmp_path: Path, fails: Callable[..., str]
):
    out = tmp_path / "out"
    boats = save_detector(tmp_path / "boats", "boat")
    damaged = Path(shutil.copytree(runs[0], tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"hello")
    (tmp_path / "file").touch()

    def run(*arguments: object, data: Path = clear) -> str:
        return fails("--data", data, "--out", out, "--device", "cpu", "--runs", *arguments)

    assert "holds images but no labels" in run(runs[0], data=hazy)
    assert "gone: no such file or folder" in run(runs[0], data=tmp_path / "gone")
    assert "model.json: not found" in run(runs[0], tmp_path / "gone")
    assert "boats: has no class in common" in run(runs[0], boats)
    assert "--classes boat" in run(runs[0], "--classes", "boat")
    assert "damaged/model.safetensors: not a readable weights file" in run(*runs, damaged)
    assert "--bootstrap must not be negative" in run(runs[0], "--bootstrap", -1)
    weights = runs[0] / "model.safetensors"
    assert "weights of mscnn" in run(runs[0], "--dehaze", "mscnn", "--mscnn-weights", weights)
    assert "gone.pth: no such weights file" in run(
        runs[0], "--dehaze", "aod-net", "--aod-net-weights", tmp_path / "gone.pth"
    )
    assert "invalid choice 'fog'" in run(runs[0], "--dehaze", "fog")
    assert not out.exists()
    assert "file: cannot be written" in run(runs[0], "--out", tmp_path / "file")


def test_files_of_others_stay(
    runs: list[Path], clear: Path, tmp_path: Path, fails: Callable[..., str]
):
    out = tmp_path / "out"
    for name in (
        "comparison.csv",
        "predictions/none/source-1.json",
        "dehazed/dark-channel/holiday.png",
    ):
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
        method = "dark-channel" if "dehazed" in name else "none"
        message = fails("--data", clear, "--out", out, "--runs", runs[0], "--dehaze", method)
        assert "choose another --out" in message
        assert (out / name).read_text() == "mine"
        shutil.rmtree(out)


def test_reproduction_keeps_its_table(
    runs: list[Path], clear: Path, tmp_path: Path, fails: Callable[..., str]
):
    (tmp_path / "reproduce.json").touch()
    assert "holds a reproduction" in fails("--data", clear, "--out", tmp_path, "--runs", runs[0])
    assert [path.name for path in tmp_path.iterdir()] == ["reproduce.json"]


def test_truncated_picture(own: tuple[list[Path], Path], tmp_path: Path, fails: Callable[..., str]):
    runs, data = own
    picture = sorted((data / "images").iterdir())[3]
    picture.write_bytes(picture.read_bytes()[:300])
    arguments = ("--data", data, "--out", tmp_path / "out", "--runs", runs[0], "--dehaze")
    assert f"{picture.name}: cannot read the picture" in fails(*arguments, "none")
    # its progress
    assert f"{picture.name}: cannot read the picture" in fails(*arguments, "aod-net", said_before=3)


class TestSaved:
    @pytest.fixture
    def out(self, runs: list[Path], clear: Path, tmp_path: Path, no_report: None) -> Path:
        compare(runs[:1], [clear], out=tmp_path / "out", bootstrap=5)
        return tmp_path / "out"

    def test_folder_can_be_moved(self, out: Path, clear: Path):
        moved = out.rename(out.with_name("moved"))
        row = load_comparison(moved).rows[0]
        assert row.predictions == (moved / "predictions" / "none" / "source-1.json",)
        assert row.predictions[0].is_file()

    def test_damage_is_told(self, out: Path, tmp_path: Path):
        with pytest.raises(UserError, match=r"comparison\.json: not found"):
            load_comparison(tmp_path / "gone")
        content = json.loads((out / "comparison.json").read_text())
        for broken in (
            "hello",
            "[]",
            "{}",
            json.dumps(content | {"rows": [{}]}),
            json.dumps(content | {"format": "other"}),
            json.dumps(content | {"complete": False}),
        ):
            (out / "comparison.json").write_text(broken)
            with pytest.raises(UserError, match="not a readable comparison"):
                load_comparison(out)
        (out / "comparison.json").write_text(json.dumps(content))
        shutil.copy(next(out.rglob("*.json")), out / "comparison.safetensors")
        with pytest.raises(UserError, match="is of another comparison"):
            load_comparison(out)

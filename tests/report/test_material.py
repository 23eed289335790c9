"""A page of whatever there is, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from disk import contents
from report_cases import SECTIONS, Page, make_comparison, write_predictions
from video_cases import write_clip

from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.comparison import save_comparison
from dmaskrcnn.compare.rows import score_runs
from dmaskrcnn.report import write_report


def test_one_run_without_test_data(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = Path(shutil.copytree(runs[1], tmp_path / "grl-1"))
    main(["report", str(run), "--device", "cpu"])
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    page = Page(run / "report.html")
    assert page.sections == ["training", "features", "pictures", "provenance"]
    assert "grl-1 trained for 60 iterations in 6 seconds; not scored" in page.text
    assert all(picture["truth"] is None for picture in page.data["pictures"])
    assert any(page.data["rows"][0]["found"])
    main(["report", str(run), "--device", "cpu"])  # its own page may be written again


def test_runs_are_scored_on_data(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    before = [contents(run) for run in runs]
    out = tmp_path / "page.html"
    arguments = [*map(str, runs), "--data", str(scenes["test"]), "--out", str(out)]
    main(["report", *arguments, "--by-size", "--device", "cpu"])
    page = Page(out)
    assert page.sections == SECTIONS
    assert "AP50 by size (small to 32 x 32 px" in page.text
    assert "2 seeds" in page.text  # of grl, found by their configurations
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert [contents(run) for run in runs] == before


def test_results_of_any_detector(scenes: dict[str, Path], tmp_path: Path):
    files = [
        write_predictions(tmp_path / f"{name}.json", scenes["test"], 1, share)
        for name, share in (("a", 0.3), ("b", 1.0))
    ]
    comparison = score_runs(files, [scenes["test"]], tmp_path / "kept")
    page = Page(write_report(tmp_path / "page.html", files, comparison))
    assert page.sections == ["scores", "intervals", "curves", "pictures", "provenance"]
    assert "b beats a: " in page.text


def test_comparison_whose_test_set_is_gone(
    scenes: dict[str, Path], runs: list[Path], tmp_path: Path
):
    data = Path(shutil.copytree(scenes["test"], tmp_path / "test"))
    comparison = make_comparison(
        tmp_path / "out", data, [("baseline", (runs[0],)), ("grl", (runs[1],))]
    )
    save_comparison(comparison)
    shutil.rmtree(data)
    main(["report", str(tmp_path / "out")])
    page = Page(tmp_path / "out" / "report.html")
    assert page.sections == [name for name in SECTIONS if name != "curves"]
    # detected anew, in the target
    assert [row["dehaze"] for row in page.data["rows"]] == ["none", "none"]


def test_run_without_a_detector(runs: list[Path], tmp_path: Path):
    """As after an interruption before the first checkpoint; its data are gone, too."""
    run = tmp_path / "grl-1"
    run.mkdir()
    shutil.copy(runs[1] / "metrics.csv", run)
    page = Page(write_report(run, [run]))
    assert page.sections == ["training", "provenance"]
    assert page.data is None


def test_run_without_a_training(runs: list[Path], tmp_path: Path):
    run = shutil.copytree(runs[0], tmp_path / "adapted-norms")
    (run / "metrics.csv").unlink()
    page = Page(write_report(tmp_path / "page.html", [run]))
    assert "Nothing was scored and nothing was logged." in page.text


def test_target_labels_are_not_read(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    target = Path(shutil.copytree(scenes["target"], tmp_path / "target"))
    plain = Page(write_report(tmp_path / "a.html", [runs[1]], target=(target,)))
    (target / "annotations.json").write_text("no JSON at all")
    assert Page(write_report(tmp_path / "b.html", [runs[1]], target=(target,))).data == plain.data


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["report", *map(str, arguments)])
        lines = capsys.readouterr().err.splitlines()
        assert (stop.value.code, len(lines)) == (2, 1), lines
        return lines[0].removeprefix("dmaskrcnn: ")

    return run


def test_bad_input(
    runs: list[Path], scenes: dict[str, Path], tmp_path: Path, fails: Callable[..., str]
):
    out = tmp_path / "new" / "page.html"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    for name, text in (("letters", "iteration,lr\nx,1\n"), ("headless", "a,b\n1,2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    predictions = write_predictions(tmp_path / "found.json", scenes["test"], 1, 0.5)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "comparison.json").write_text("{}")
    before = contents(tmp_path)
    test = ("--data", scenes["test"])
    cases = [
        (("--out", out), "give at least one run folder"),
        ((tmp_path / "gone", "--out", out), "gone: no such run folder"),
        ((tmp_path / "empty", "--out", out), "empty: holds no metrics.csv"),
        ((tmp_path / "letters", "--out", out), "metrics.csv: not a readable metrics.csv"),
        ((tmp_path / "headless", "--out", out), "metrics.csv: has rows without an iteration"),
        (
            (tmp_path / "text.txt", "--out", out, *test),
            "text.txt: is neither a run folder nor a COCO results JSON",
        ),
        (
            (predictions, "--out", out),
            "found.json: is a results JSON, which shows nothing without its test set; give --data",
        ),
        ((tmp_path / "old", "--out", out), "comparison.json: not a readable comparison"),
        ((runs[0], "--out", out, "--by-size"), "--by-size scores, so it needs --data"),
        ((runs[0], tmp_path / "old", "--out", out), "old: a comparison is reported alone"),
        ((runs[0], "--out", out, "--data", scenes["target"]), "holds images but no labels"),
        ((runs[0], "--out", out, "--data", tmp_path / "gone"), "gone: no such file or folder"),
        ((runs[0], "--out", out, "--target", tmp_path / "gone"), "gone: no such file or folder"),
        ((runs[0], "--out", out, "--source", tmp_path / "empty"), "empty: no picture in it"),
        ((runs[0], "--out", out, "--device", "gpu"), "--device gpu: not available here"),
        ((runs[0], "--out", tmp_path / "text.txt" / "page.html"), "text.txt: cannot be written"),
        (
            (runs[0], "--out", tmp_path / "text.txt"),
            "text.txt: exists and was not written by dmaskrcnn report",
        ),
    ]
    for arguments, said in cases:
        assert said in fails(*arguments)
    assert contents(tmp_path) == before
    assert not out.parent.exists()


def test_pictures_that_cannot_be_decoded_are_left_out(
    runs: list[Path], hazy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    own = Path(shutil.copytree(hazy, tmp_path / "own"))
    cut = sorted(path for path in own.rglob("*") if path.suffix in (".png", ".jpg"))[0]
    cut.write_bytes(cut.read_bytes()[:400])
    out = tmp_path / "page.html"
    main(["report", str(runs[1]), "--target", str(own), "--out", str(out), "--device", "cpu"])
    assert len(Page(out).data["pictures"]) == 5
    assert f"left out: 1 of 6 pictures: {cut}: " in caplog.text


def test_frames_of_a_video_are_shown(runs: list[Path], tmp_path: Path):
    pytest.importorskip("av", reason="needs dmaskrcnn[video]")
    clip = write_clip(tmp_path / "road.mp4", times=[0, 1, 2], size=(128, 96))
    out = tmp_path / "page.html"
    main(["report", str(runs[1]), "--target", str(clip), "--out", str(out), "--device", "cpu"])
    assert Page(out).data["pictures"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "road.mp4"]

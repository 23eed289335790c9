"""The page as a file: what stands in it, what may not, and what happens with wrong input."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from disk import contents
from evaluation_cases import random_case
from report_cases import CLASSES, make_comparison, write_predictions, write_run

from dmaskrcnn.cli.main import main
from dmaskrcnn.compare.comparison import Comparison, Row, save_comparison
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.evaluation.bootstrap import Metric
from dmaskrcnn.evaluation.score import precision_curves, score
from dmaskrcnn.evaluation.scores import Scores
from dmaskrcnn.report import write_report
from dmaskrcnn.report.findings import headline, leading_metric, metric_columns
from dmaskrcnn.report.material import gather

DOMAIN = {"alignment/domain": 0.7, "domain_accuracy": 0.5}
SECTIONS = ["scores", "intervals", "curves", "training", "features", "pictures", "provenance"]


class Page(HTMLParser):
    """The elements and the text of a page; void and stray tags are harmless here."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str]:
        return [str(attributes["id"]) for attributes in self.all("section")]

    @property
    def data(self) -> dict:
        """What the script draws."""
        return json.loads(self.source.split('id="data">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    fog = {"size": (64, 96), "visibility": (60.0, 150.0)}
    return {
        "source": write_scenes(folder / "source", 12, seed=11, size=(64, 96)),
        "target": write_scenes(folder / "target", 12, seed=12, labelled=False, **fog),
        "test": write_scenes(folder / "test", 8, seed=13, **fog),
    }


@pytest.fixture(scope="module")
def runs(scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A baseline and two seeds of an adapted method."""
    folder = tmp_path_factory.mktemp("runs")
    source, target = scenes["source"], scenes["target"]
    return [
        write_run(folder / "baseline-1", source, None),
        write_run(
            folder / "grl-1",
            source,
            target,
            seed=1,
            **DOMAIN,
            pseudo_labels=3.0,
        ),
        write_run(folder / "grl-2", source, target, seed=2, **DOMAIN),
    ]


@pytest.fixture(scope="module")
def whole(
    runs: list[Path], scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The page of a comparison that has everything."""
    folder = tmp_path_factory.mktemp("comparison")
    groups = [("baseline", (runs[0],)), ("grl", (runs[1], runs[2]))]
    return write_report(
        folder, runs, make_comparison(folder, scenes["test"], groups, published=True)
    )


# --- the whole page -------------------------------------------------------------------------------


def test_all_sections_in_order(whole: Path):
    page = Page(whole)
    assert whole.name == "report.html"
    assert page.sections == SECTIONS
    assert [a["href"] for a in page.all("a")] == [f"#{name}" for name in SECTIONS]
    text = " ".join(page.text.split())
    assert "MSCNN + grl" in text
    assert "61.01" in text
    assert "published: RTTS, other data" in text
    assert "They are not comparable" in text
    assert "A note with < in it." in text
    assert "resamples of the images and seeds" in text
    assert "12 clear source images and 12 hazy target images" in text
    for said in (
        "detection loss",
        "domain loss",
        "domain accuracy",
        "pseudo-labels per hazy image",
        "learning rate",
    ):
        assert said in text
    assert "mean score of the pseudo-labels" not in text  # no run has that column
    for said in (
        "dmaskrcnn 0",
        "torch 2",
        "8 images",
        "preset",
        "averaged weights (EMA), iteration 60",
        "60 iterations in 0.1 minutes",
    ):
        assert said in text
    assert "not finished" not in text
    assert whole.stat().st_size < 4e6


def test_nothing_to_fetch(whole: Path):
    page = Page(whole)
    policy = next(
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    script = page.source.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy
    assert {tag for tag, _ in page.tags} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "img",
    } == set()
    assert set(re.findall(r"https?://[^\"' ]+", page.source)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.source))
    assert all(a["xlink:href"].startswith("#") for a in page.all("use") if a["xlink:href"])
    assert "@import" not in page.source


def test_ids_are_unique_and_used(whole: Path):
    page = Page(whole)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for reference in re.findall(r"url\(#([^)]+)\)|xlink:href=\"#([^\"]+)\"", page.source):
        assert "".join(reference) in ids


def test_figures_follow_the_theme(whole: Path):
    figures = re.findall(r"<figure>.*?</figure>", whole.read_text(encoding="utf-8"), re.S)
    assert len(figures) > 10
    for figure in figures:
        assert not re.search(r"(fill|stroke): #", figure)
        assert "var(--ink)" in figure
        assert 'role="img" aria-label="' in figure


def test_legends_name_series_that_exist(whole: Path):
    page = Page(whole)
    keys = {button["data-key"] for button in page.all("button") if "data-key" in button}
    assert keys == {*(f"series-row{i}" for i in range(4)), "series-method0", "series-method1"}
    assert keys == {
        attributes["data-series"] for _, attributes in page.tags if "data-series" in attributes
    }


def test_pictures(whole: Path):
    data = Page(whole).data
    assert len(data["pictures"]) == 6
    assert data["methods"] == ["baseline", "grl"]
    assert [(row["method"], row["dehaze"]) for row in data["rows"]] == [
        (0, "none"),
        (1, "none"),
        (0, "mscnn"),
        (1, "mscnn"),
    ]
    assert any(picture["truth"] for picture in data["pictures"])
    for number, picture in enumerate(data["pictures"]):
        assert (picture["width"], picture["height"]) == (96, 64)
        assert set(picture["images"]) == {"none", "mscnn"}
        assert picture["images"]["none"] != picture["images"]["mscnn"]
        for row in data["rows"]:
            for one in row["found"][number]:
                assert 0.05 <= one["s"] <= 1
                assert one["n"] in CLASSES
                assert re.fullmatch("#[0-9a-f]{6}", one["c"])
                assert len(one["b"]) == 4


# --- what is found --------------------------------------------------------------------------------


def scored(value: float, low: float, high: float, noise: np.ndarray, **objects: int) -> Scores:
    names = ["voc/AP50", *(f"voc/AP50/{name}" for name in objects), "legacy/mAP"]
    metrics = dict.fromkeys(names, Metric(value, low, high, value + noise))
    return Scores(metrics, objects or {"car": 80}, 10, len(noise), 0, "the same")


def comparison_of(
    *values: float, spread: float = 0.01, published: float | None = None, **objects: int
) -> Comparison:
    rows = []
    for number, value in enumerate(values):
        noise = np.random.default_rng(number).normal(size=200) * spread
        scores = scored(
            value,
            value - spread,
            value + spread,
            noise - noise.mean() if len(noise) else noise,
            **objects,
        )
        rows.append(
            Row(
                f"row {number}",
                (Path(f"{number}"),),
                "none",
                (Path("gone"),),
                scores,
                0.1,
                published,
            )
        )
    return Comparison(tuple(rows), (Path("gone"),), {}, Path("out"))


@pytest.mark.parametrize(
    ("values", "spread", "said"),
    [
        (
            (0.3, 0.32, 0.4),
            0.01,
            "row 2 beats row 0: AP50 of car 30.0 → 40.0 %, a difference of +10.0 points [+",
        ),
        (
            (0.4, 0.3),
            0.01,
            "Nothing beats row 0, row 1 is worse: AP50 of car 40.0 → 30.0 %, a "
            "difference of −10.0 points [−",
        ),
        ((0.4, 0.2, 0.3), 0.01, "Nothing beats row 0, the closest is row 2: "),
        ((0.3, 0.31), 0.05, "No difference is shown between row 1 and row 0: "),
        ((0.3,), 0.01, "row 0: AP50 of car 30.0 % [29.0, 31.0] on 10 test images."),
    ],
)
def test_headline(values: tuple[float, ...], spread: float, said: str):
    found = headline(gather([], comparison_of(*values, spread=spread)))
    assert found.startswith(said)
    if len(values) > 1:
        contains = "No difference" in said
        assert found.endswith(
            f"; the 95 % interval {'contains' if contains else 'does not contain'} 0."
        )


def test_headline_without_interval():
    comparison = comparison_of(0.3, 0.4)
    rows = [
        Row(
            r.name,
            r.runs,
            r.dehaze,
            r.predictions,
            scored(0.3 + 0.1 * i, np.nan, np.nan, np.empty(0)),
            0.1,
        )
        for i, r in enumerate(comparison.rows)
    ]
    found = headline(gather([], Comparison(tuple(rows), comparison.data, {}, comparison.out)))
    assert (
        found
        == "row 1 against row 0: AP50 of car 30.0 → 40.0 %, a difference of +10.0 points, without "
        "an interval."
    )


@pytest.mark.parametrize(
    ("objects", "published", "metric"),
    [
        ({"car": 400, "person": 90}, None, "voc/AP50"),
        # the mean would be half a class of nine objects
        ({"car": 400, "person": 9}, None, "voc/AP50/car"),
        ({"car": 20, "person": 9}, None, "voc/AP50"),
        ({"car": 400, "bus": 0}, None, "voc/AP50"),
        ({"car": 400, "person": 90}, 0.61, "legacy/mAP"),
    ],
)
def test_leading_metric(objects: dict[str, int], published: float | None, metric: str):
    rows = comparison_of(0.3, 0.4, published=published, **objects).rows
    assert leading_metric(rows)[0] == metric
    assert next(iter(metric_columns(rows))) == metric


@pytest.mark.parametrize("seed", range(6))
def test_area_under_the_curve_is_the_ap(seed: int):
    truth, found = random_case(seed, crowd=0.1, difficult=0.1)
    scores, curves = score(truth, found, bootstrap=0), precision_curves(truth, found)
    assert set(curves) == {name for name, count in scores.objects.items() if count}
    for name, precision in curves.items():
        assert len(precision) == scores.objects[name]
        assert precision.mean() == pytest.approx(scores[f"voc/AP50/{name}"].value, abs=1e-12)
        assert (np.diff(precision) <= 0).all()  # the envelope never rises


def test_curves_need_one_prediction_per_image():
    truth, found = random_case(0)
    with pytest.raises(ValueError, match="zip"):
        precision_curves(truth, found[:-1])


# --- whatever there is ----------------------------------------------------------------------------


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
    page = Page(write_report(tmp_path / "page.html", runs, data=(scenes["test"],), device="cpu"))
    assert page.sections == SECTIONS
    assert "2 seeds" in page.text  # of grl, found by their configurations
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert [contents(run) for run in runs] == before


def test_results_of_any_detector(scenes: dict[str, Path], tmp_path: Path):
    files = [
        write_predictions(tmp_path / f"{name}.json", scenes["test"], 1, share)
        for name, share in (("a", 0.3), ("b", 1.0))
    ]
    page = Page(write_report(tmp_path / "page.html", files, data=(scenes["test"],)))
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


def test_names_from_files_are_text(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    name = "</script><script>alert(1)</script><b>$x$ & \"'雾{{data}}"
    data = tmp_path / "test"
    shutil.copytree(scenes["test"], data)
    text = (data / "annotations.json").read_text()
    (data / "annotations.json").write_text(
        text.replace('"person"', json.dumps("</script><i>person"))
    )
    (data / "images" / "000000.png").rename(data / "images" / "<u>.png")
    text = (data / "annotations.json").read_text()
    (data / "annotations.json").write_text(text.replace("000000.png", "<u>.png"))
    comparison = make_comparison(tmp_path / "out", data, [(name, (runs[0],)), ("grl", (runs[1],))])
    page = Page(write_report(tmp_path / "page.html", [], comparison))
    assert len(page.all("script")) == 2
    assert {tag for tag, _ in page.tags} & {"u", "i"} == set()
    assert page.text.count(name) >= 5
    assert page.data["methods"][0] == name
    assert page.data["pictures"][0]["name"] == "<u>.png"


# --- bad input ------------------------------------------------------------------------------------


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

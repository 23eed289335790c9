"""The page as a file: what stands in it, and what may not."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from report_cases import CLASSES, SECTIONS, Page, make_comparison

from dmaskrcnn.evaluation.bootstrap import Metric
from dmaskrcnn.report import write_report
from dmaskrcnn.report.findings import best_other, best_row
from dmaskrcnn.report.pictures import as_json


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
    assert data["groups"] == ["baseline", "grl"]
    assert [(row["group"], row["dehaze"]) for row in data["rows"]] == [
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
    assert page.data["groups"][0] == name
    assert page.data["pictures"][0]["name"] == "<u>.png"


ODD = ("$x_1$", "_a_b_", "\N{FOG}\N{BUS}", "אופנוע", "x" * 180, "a&b<c")


def test_odd_names_in_figures(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    """Signs of formulas, underscores, emoji, letters from right to left, a name as long as a
    folder's may be: no warning (they are errors here), and each as it is."""
    groups = [(name, (runs[i % 3],)) for i, name in enumerate(ODD)]
    comparison = make_comparison(tmp_path / "out", scenes["test"], groups)
    page = Page(write_report(tmp_path / "page.html", [], comparison))
    for name in ODD:
        assert page.text.count(name) >= 3


def test_best_other_is_another_run(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    """Where the best row is the first run behind a dehazer, the pictures show it beside the best
    of the others."""
    groups = [("baseline", (runs[0],)), ("grl", (runs[1],))]
    comparison = make_comparison(tmp_path / "out", scenes["test"], groups)
    first, other, dehazed, _ = comparison.rows
    comparison = replace(comparison, rows=(first, replace(other, scores=first.scores), dehazed))
    assert best_row(comparison.rows) == 2
    assert best_other(comparison.rows) == 1
    page = Page(write_report(tmp_path / "page.html", [], comparison))
    chosen = [option["value"] for option in page.all("option") if "selected" in option]
    assert chosen[-2:] == ["0", "1"]
    assert "between grl and baseline" in page.text  # not the run against itself
    assert "Highest of all is MSCNN + baseline, the first run behind dehazing" in page.text


def test_a_run_named_twice_is_shown_once(runs: list[Path], tmp_path: Path):
    page = Page(
        write_report(tmp_path / "page.html", [runs[0], runs[0].parent / "." / runs[0].name])
    )
    assert len(page.data["groups"]) == 1


def test_pictures_give_way_where_the_page_grows(whole: Path):
    data = Page(whole).data
    size = len(as_json(deepcopy(data)))
    smaller = deepcopy(data)
    assert len(as_json(smaller, 0.5 * size)) <= 0.5 * size
    assert 0 < len(smaller["pictures"]) < len(data["pictures"])
    assert all(len(row["found"]) == len(smaller["pictures"]) for row in smaller["rows"])
    least = deepcopy(data)
    assert len(json.loads(as_json(least, 0))["pictures"]) == 1
    assert as_json(None, 0) == "null"


def test_doubts(runs: list[Path], scenes: dict[str, Path], tmp_path: Path):
    young = Path(shutil.copytree(runs[0], tmp_path / "young-1"))
    (young / "config.yaml").write_text("preset: demo\nmethod: source\nwarmup: 100\n")
    stopped = Path(shutil.copytree(runs[1], tmp_path / "stopped-1"))
    model = json.loads((stopped / "model.json").read_text())
    (stopped / "model.json").write_text(json.dumps(model | {"finished": False}))
    comparison = make_comparison(
        tmp_path / "out", scenes["test"], [("young", (young,)), ("stopped", (stopped,))]
    )
    nothing = comparison.rows[0].scores
    nothing = replace(nothing, metrics={key: Metric(0.0, 0.0, 0.0) for key in nothing.metrics})
    rows = (replace(comparison.rows[0], scores=nothing), *comparison.rows[1:])
    text = Page(write_report(tmp_path / "page.html", [], replace(comparison, rows=rows))).text
    assert "young-1: trained for 60 iterations, fewer than the 100 of its warm-up" in text
    assert "stopped-1: the training is not finished (iteration 60)" in text
    assert "young finds next to nothing" in text
    assert re.search(r"The test set holds \d+ objects", text)

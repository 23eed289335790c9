"""The page as a file: what stands in it, and what may not."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from report_cases import CLASSES, SECTIONS, Page, make_comparison

from dmaskrcnn.report import write_report


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

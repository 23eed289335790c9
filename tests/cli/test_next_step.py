"""Every verb ends with a next command, which the command line takes as it stands."""

from __future__ import annotations

import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dmaskrcnn.cli.main import main
from dmaskrcnn.cli.next_step import STEPS, say_next
from dmaskrcnn.cli.training_verbs import Resume
from dmaskrcnn.cli.verbs import Verbs

cli = import_module("dmaskrcnn.cli.main")  # not the function of the same name
GO_ON_FOR_EVER = {"Serve", "App"}


def parsed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command line makes of the words."""
    seen: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(cli, "_VERBS", dict.fromkeys(cli._VERBS, seen.append))
        main(words)
    return seen[0]


def said_next(capsys: pytest.CaptureFixture[str]) -> list[str]:
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("Next: dmaskrcnn ")
    return shlex.split(line.removeprefix("Next: dmaskrcnn "), comments=True)


def test_all_verbs_have_one():
    verbs = {verb.__origin__.__name__ for verb in get_args(Verbs)} - {"Train", "Adapt"}
    assert verbs - GO_ON_FOR_EVER - set(STEPS) == set()
    assert {"TrainConfig", "Resume"} <= set(STEPS)


@pytest.fixture
def adapted(run: Path, hazy: Path, clear: Path, tmp_path: Path) -> Path:
    """A run that knows its data, in a folder with a space in its name."""
    folder = tmp_path / "my runs" / "adapt-1"
    folder.mkdir(parents=True)
    for file in run.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    known = {"method": "teacher", "target": [str(hazy)], "test": [str(clear)]}
    (folder / "config.yaml").write_text(yaml.safe_dump({"preset": "demo", **known}))
    return folder


WORDS = {
    "demo": "demo",
    "train": "train --method source --preset demo --source SOURCE",
    "adapt": "adapt --source SOURCE --target TARGET --preset demo",
    "evaluate": "evaluate RUN --data TEST",
    "evaluate several": "evaluate RUN RUN --data TEST",
    "compare": "compare --runs RUN RUN --data TEST",
    "reproduce": "reproduce --source SOURCE --target TARGET --test TEST",
    "report": "report RUN",
    "predict": "predict RUN TARGET --out found",
    "inspect both": "inspect SOURCE TARGET",
    "inspect labelled": "inspect SOURCE",
    "inspect hazy": "inspect TARGET",
    "dehaze": "dehaze TARGET --out dehazed",
    "haze": "haze SOURCE --visibility 50 1000.5 --out hazed",
    "train-dehazer": "train-dehazer --out aod.safetensors",
}
NEXT = {
    "demo": "adapt",
    "train": "predict",
    "adapt": "predict",
    "evaluate": "report",
    "evaluate several": "compare",
    "compare": "predict",
    "reproduce": "predict",
    "report": "predict",
    "predict": "evaluate",
    "inspect both": "adapt",
    "inspect labelled": "train",
    "inspect hazy": "dehaze",
    "dehaze": "inspect",
    "haze": "inspect",
    "train-dehazer": "dehaze",
}


@pytest.mark.parametrize("case", WORDS)
def test_it_is_a_command(
    case: str,
    adapted: Path,
    clear: Path,
    hazy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    paths = {"RUN": adapted, "SOURCE": clear, "TEST": clear, "TARGET": hazy}
    words = [str(paths.get(word, word)) for word in WORDS[case].split()]
    say_next(parsed(words, monkeypatch), adapted)
    after = said_next(capsys)
    assert after[0] == NEXT[case]
    parsed(after, monkeypatch)
    if case == "inspect both":
        assert after == ["adapt", "--source", str(clear), "--target", str(hazy)]
    if case == "adapt":
        assert after[1:3] == [str(adapted), str(hazy)]


def test_after_resuming_and_without_hazy_pictures(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    say_next(Resume(run), run)
    after = said_next(capsys)
    assert after == ["report", str(run)]
    parsed(after, monkeypatch)


def test_files_that_are_gone_do_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    verb = parsed(["inspect", str(tmp_path / "gone")], monkeypatch)
    capsys.readouterr()
    say_next(verb)
    assert capsys.readouterr().err == ""


def test_in_life(clear: Path, capsys: pytest.CaptureFixture[str]):
    main(["inspect", str(clear)])
    output = capsys.readouterr()
    assert "Next:" not in output.out
    assert (
        output.err == f"Next: dmaskrcnn train --method source --source {shlex.quote(str(clear))}\n"
    )


def test_what_a_training_would_stop_at_is_left_out_of_it(
    clear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    labels = json.loads((clear / "annotations.json").read_text())
    labels["annotations"][0]["bbox"][2] = -5
    (file := tmp_path / "wrong.json").write_text(json.dumps(labels))
    (tmp_path / "images").symlink_to(clear / "images")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    main(["inspect", str(file), "--images", str(tmp_path / "elsewhere")])
    after = said_next(capsys)
    where = ["--images", str(tmp_path / "elsewhere")]
    assert after == ["train", "--method", "source", "--source", str(file), "--drop-invalid", *where]
    words = [*after, "--preset", "demo", "--iterations", "1", "--weights", "scratch"]
    main([*words, "--image-size", "64", "--workers", "0", "--out", str(tmp_path / "runs")])

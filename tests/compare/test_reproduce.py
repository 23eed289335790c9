"""`dmaskrcnn reproduce`: the paper's table in small, and that it goes on wherever it was
stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from disk import contents
from signalled import signalled

from dmaskrcnn.cli.main import main
from dmaskrcnn.compare import reproduce as room
from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.compare.reproduce import reproduce
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import open_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run
from dmaskrcnn.training import loop
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.state import TrainingState

TWO = 2 / 75_000  # of the paper's budget: two iterations
NAMES = (
    "Mask R-CNN",
    "DMask1",
    "DMask2",
    "AOD-Net + DMask1",
    "AOD-Net + DMask2",
    "MSCNN + Mask R-CNN",
    "MSCNN + DMask1",
    "MSCNN + DMask2",
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is trained (by name) and resumed (by folder). Nothing is compared after it."""
    seen: list[tuple[str, str]] = []
    train, resume = room.train, room.resume

    def note_train(config: TrainConfig) -> Path:
        seen.append(("train", str(config.name)))
        return train(config)

    def note_resume(folder: Path) -> Path:
        seen.append(("resume", folder.name))
        return resume(folder)

    monkeypatch.setattr(room, "train", note_train)
    monkeypatch.setattr(room, "resume", note_resume)
    monkeypatch.setattr(room, "compare_rows", lambda plans, *_, **__: plans)
    return seen


def test_the_whole_table_in_small(
    arguments: dict[str, Any],
    hazy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("dmaskrcnn.report.write_report", lambda out, *_, **__: out / "report.html")
    out, arguments["budget"] = arguments["out"], TWO / 2
    arguments["clear"] = arguments["test"]
    flags = [
        word
        for name, value in arguments.items()
        for word in (f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value]))
    ]
    main(["reproduce", *flags])
    text = capsys.readouterr().out
    rows = load_comparison(out).rows
    assert tuple(row.name for row in rows) == NAMES
    assert [row.published for row in rows] == [
        0.6101,
        0.6121,
        0.6172,
        0.6021,
        0.6047,
        0.6272,
        0.6271,
        0.6336,
    ]
    assert [row.dehaze for row in rows] == ["none"] * 3 + ["aod-net"] * 2 + ["mscnn"] * 3
    assert [row.group.runs[0].name.split("-s0")[0] for row in rows[:3]] == [
        "mask-rcnn",
        "dmask1",
        "dmask2",
    ]
    assert rows[7].group == rows[4].group == rows[2].group
    for said in (
        "paper, RTTS",
        "Other test images and another training",
        "Iterations here: 1 of 8 source images",
        "all three start from a detector trained as long on the source, one per seed, from scratch",
        "In clear air (6 images), VOC AP50 and the difference to Mask R-CNN: Mask R-CNN ",
        "75,000;",
    ):
        assert said in " ".join(text.split())
        assert said in (out / "comparison.md").read_text()
    assert "the paper's network is larger: ResNet-101 FPN" in text
    assert text.splitlines()[-1] == str(out)

    configs = [row.group.runs[0].config for row in rows[:3]]
    assert [c.pop("method") for c in configs] == ["source", "grl", "grl"]
    assert [c.pop("target") for c in configs] == [[], [str(hazy)], [str(out / "target-mscnn")]]
    for config in configs:
        del config["name"]
    # but for the settings of gradient reversal
    assert all(config | configs[0] == config for config in configs)
    assert configs[1] == configs[2]
    assert configs[0]["weights"] == str(out / "runs" / "start-s0-1")
    clear_air = load_comparison(out / "clear").rows
    assert [row.group for row in clear_air] == [row.group for row in rows[:3]]
    assert len(list((out / "target-mscnn").glob("*.png"))) == 6


def test_once_finished_nothing_is_trained_again(arguments: dict[str, Any], pretended: list[str]):
    arguments["seeds"] = (0, 4)
    reproduce(**arguments)
    before = contents(arguments["out"])
    assert pretended == [
        f"{name}-s{seed}" for seed in (0, 4) for name in ("start", "mask-rcnn", "dmask1", "dmask2")
    ]
    pretended.clear()
    plans: Any = reproduce(**arguments)
    assert pretended == []
    assert [run.name for run in plans[3].group.runs] == ["dmask1-s0-1", "dmask1-s4-1"]
    assert contents(arguments["out"]) == before
    assert tuple(plan.name for plan in plans) == NAMES


def test_a_trained_start_is_shared(
    arguments: dict[str, Any], pretended: list[str], run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(room, "_check_data", lambda *_: open_images(*arguments["target"]))
    plans: Any = reproduce(**arguments | {"weights": str(run)})
    assert pretended == ["mask-rcnn-s0", "dmask1-s0", "dmask2-s0"]
    assert plans[0].group.runs[0].config["weights"] == str(run)


def test_what_a_training_says_is_told_as_such(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def diverging(_: TrainConfig) -> Path:
        raise UserError("lower --lr")

    monkeypatch.setattr(room, "train", diverging)
    with pytest.raises(UserError, match=r"lower --lr \(said by a training: .* `dmaskrcnn train`"):
        reproduce(**arguments)


def test_other_arguments_are_refused(
    arguments: dict[str, Any], hazy: Path, clear: Path, pretended: list[str]
):
    reproduce(**arguments)
    pretended.clear()
    for change, said in (
        (
            {"budget": 1.0},
            "was begun with --budget 2.66.*e-05, not 1.0; repeat it, or choose another --out",
        ),
        ({"seeds": (0, 1)}, "was begun with --seeds 0, not 0 1"),
        ({"preset": "cpu"}, "was begun with --preset demo, not cpu"),
        ({"weights": "scratch"}, "was begun with --weights None, not scratch"),
        ({"target": [hazy, clear]}, "was begun with --target .*hazy"),
    ):
        with pytest.raises(UserError, match=said):
            reproduce(**arguments | change)
    (arguments["out"] / "reproduce.json").write_text("[]")
    with pytest.raises(UserError, match=r"reproduce\.json: .*not written by dmaskrcnn reproduce"):
        reproduce(**arguments)
    assert pretended == []


def test_goes_on_within_a_training(
    arguments: dict[str, Any],
    trained: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
):
    words = [
        word
        for name, value in arguments.items()
        for word in (f"--{name}", *(value if isinstance(value, (list, tuple)) else [value]))
    ]
    done = signalled(
        ("dmaskrcnn.training.loop", "", "step"), 5, signal.SIGTERM, "reproduce", *words
    )
    assert done.returncode == 143, done.stderr
    assert "`dmaskrcnn reproduce` goes on from there" in done.stderr
    runs = arguments["out"] / "runs"
    folder = runs / "dmask1-s0-1"
    assert Checkpoint.load(folder).iteration == 1
    before = {
        name: Checkpoint.load(runs / f"{name}-1").iteration
        for name in ("start-s0", "mask-rcnn-s0", "dmask1-s0")
    }
    steps = [name for name, count in before.items() for _ in range(count)]
    step = loop.step

    def noted(state: TrainingState, *others: Any) -> dict[str, float]:
        steps.append(str(state.config.name))
        return step(state, *others)

    monkeypatch.setattr(loop, "step", noted)
    plans: Any = reproduce(**arguments)
    assert trained == [("resume", "dmask1-s0-1"), ("train", "dmask2-s0")]
    assert plans[1].group.runs == (Run(folder),)
    names = ("start-s0", "mask-rcnn-s0", "dmask1-s0", "dmask2-s0")
    assert steps == [name for name in names for _ in range(2)]


def test_training_that_left_no_checkpoint_begins_again(
    arguments: dict[str, Any], pretended: list[str]
):
    reproduce(**arguments)
    runs = arguments["out"] / "runs"
    for name in ("last.pt", "model.json"):
        (runs / "dmask2-s0-1" / name).unlink()
    # not the run that is wanted: it stays as it is
    config = runs / "mask-rcnn-s0-1" / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"lr": 0.5}))
    pretended.clear()
    plans: Any = reproduce(**arguments)
    assert pretended == ["mask-rcnn-s0", "dmask2-s0"]
    assert [plan.group.runs[0].name for plan in plans[:3]] == [
        "mask-rcnn-s0-2",
        "dmask1-s0-1",
        "dmask2-s0-2",
    ]


def test_interrupted_command_says_so_in_one_line(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Ctrl-C between the trainings."""

    def interrupted(*_: object, **__: object) -> Callable[..., Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "dehaze_dataset", interrupted)
    sets = [
        w for name in ("source", "target", "test") for w in (f"--{name}", str(arguments[name][0]))
    ]
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "reproduce",
                *sets,
                "--preset",
                "demo",
                "--out",
                str(arguments["out"]),
                "--device",
                "cpu",
            ]
        )
    assert stop.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "dmaskrcnn: interrupted"
    content = json.loads((arguments["out"] / "reproduce.json").read_text())
    assert (content["complete"], content["arguments"]["seeds"]) == (False, [0, 1])

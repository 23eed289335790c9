"""A training with a labeller that is stopped in any of its parts: the same command, or --resume,
goes on where it was, and the labeller is not trained again."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from run_files import assert_same_bits
from signalled import signalled

from dmaskrcnn.config.labelling import LABELS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run
from dmaskrcnn.training import target_labels
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.loop import resume, train

Make = Callable[..., TrainConfig]
BATCH = ("dmaskrcnn.data.loader", "Batches", "__getitem__")
LOOK = ("dmaskrcnn.training.target_labels", "", "look")
ITERATIONS = 3  # of the labeller, and of its student


def configured(out: Path, tiny_in: Make, hazy: Path) -> TrainConfig:
    return tiny_in(
        out,
        method="teacher",
        labeller="train",
        labeller_share=0.5,
        target=(hazy,),
        iterations=2 * ITERATIONS,
        burn_in=0.0,
        checkpoint_minutes=1e-6,  # after every iteration
    )


@pytest.fixture
def config(tiny_in: Make, hazy: Path, tmp_path: Path) -> TrainConfig:
    return configured(tmp_path / "runs", tiny_in, hazy)


@pytest.fixture(scope="module")
def unbroken(tiny_in: Make, hazy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(configured(tmp_path_factory.mktemp("unbroken"), tiny_in, hazy))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each picture that is labelled from now on."""
    done, look = [], target_labels.look

    def counted(*arguments):
        done.append(1)
        return look(*arguments)

    monkeypatch.setattr(target_labels, "look", counted)
    return done


@pytest.mark.parametrize(
    ("where", "call", "number", "again"),
    [
        pytest.param(BATCH, 3, signal.SIGKILL, 6, id="labeller killed"),
        pytest.param(LOOK, 3, signal.SIGKILL, 4, id="labelling killed"),
        pytest.param(LOOK, 3, signal.SIGTERM, 3, id="labelling asked to stop"),
        pytest.param(BATCH, ITERATIONS + 3, signal.SIGKILL, 0, id="student killed"),
    ],
)
def test_it_goes_on_where_it_was(
    config: TrainConfig,
    unbroken: Path,
    tmp_path: Path,
    looks: list[int],
    capsys: pytest.CaptureFixture[str],
    where: tuple[str, str, str],
    call: int,
    number: int,
    again: int,
):
    """``again``: pictures that are yet to be labelled."""
    (file := tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    looks.clear()
    done = signalled(where, call, number, "train", "--config", file)
    run, killed = config.out / "teacher-1", number == signal.SIGKILL
    assert done.returncode == (-number if killed else 128 + number), done.stderr
    assert (
        killed
        or f"stopped at labelling; saved. Continue with: dmaskrcnn train --resume {run}"
        in done.stderr
    )
    assert not Run(run).finished
    model = run / "labeller-1" / "model.safetensors"
    trained = model.stat().st_mtime_ns if Run(run / "labeller-1").finished else 0
    if where == BATCH:
        stopped = run if trained else run / "labeller-1"
        assert 0 < Checkpoint.load(stopped).iteration < ITERATIONS

    capsys.readouterr()
    assert (train(config) if killed else resume(run)) == run
    assert [path.name for path in config.out.iterdir()] == ["teacher-1"]
    assert Run(run).finished
    assert len(looks) == again
    assert (trained or model.stat().st_mtime_ns) == model.stat().st_mtime_ns
    assert_same_bits(unbroken, run)
    assert (run / LABELS).read_bytes() == (unbroken / LABELS).read_bytes()
    if killed:
        assert f"{run} was stopped; going on with it" in capsys.readouterr().err


def test_what_was_stopped_and_cannot_go_on_is_told_how_to_begin_anew(
    config: TrainConfig, clear: Path, tmp_path: Path, monkeypatch
):
    shutil.copytree(clear, tmp_path / "clear")
    config = replace(config, source=(tmp_path / "clear",))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dmaskrcnn.training.labeller.label_target", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    config.out.joinpath("teacher-latest").symlink_to(tmp_path / "nowhere")
    (picture := next((tmp_path / "clear").rglob("*.png"))).write_bytes(b"no picture")
    run = config.out / "teacher-1"
    with pytest.raises(UserError, match=f"{picture.name}.*; to begin anew .*, remove {run} or"):
        train(config)


def test_what_is_finished_is_begun_anew(config: TrainConfig, unbroken: Path):
    again = train(replace(config, out=unbroken.parent))
    assert again.name == "teacher-2"


def test_time_that_was_used_counts(config: TrainConfig, tmp_path: Path):
    """A labeller with minutes, killed in its third step, gets what is left of them."""
    config = replace(config, iterations=0, minutes=0.2)
    (file := tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    assert signalled(BATCH, 3, signal.SIGKILL, "train", "--config", file).returncode < 0
    labeller = config.out / "teacher-1" / "labeller-1"
    before = Checkpoint.load(labeller)
    assert before.iteration == 2
    train(config)
    after = Checkpoint.load(labeller)
    assert after.iteration >= before.iteration  # slow machines have used up all of it
    assert after.seconds >= 60 * config.settings.labeller_share * config.minutes
    rows = [row for row in Run(labeller).metrics if row["iteration"] > before.iteration]
    assert all(row["seconds"] > before.seconds for row in rows)

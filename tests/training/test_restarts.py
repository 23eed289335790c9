"""Real torchrun, two processes: one of them is killed, and the training goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from run_files import assert_same_bits, rows

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.evaluation.evaluate import evaluate_to
from dmaskrcnn.evaluation.labelled import open_test_set
from dmaskrcnn.run import Run
from dmaskrcnn.training import labeller, restarts
from dmaskrcnn.training.loop import train

Make = Callable[..., TrainConfig]
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")


def torchrun(config: TrainConfig, folder: Path, *options: str) -> subprocess.Popen[str]:
    (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *options]
    command += ["--nproc-per-node", "2", "-m", "dmaskrcnn", "train"]
    return subprocess.Popen(
        [*command, "--config", str(folder / "config.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def processes_of(parent: int) -> Iterator[tuple[int, dict[str, str]]]:
    """The children of a process, and their environments."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                above = (process / "stat").read_text().rpartition(")")[2].split()[1]
                if int(above) == parent:
                    words = (process / "environ").read_bytes().decode().split("\0")
                    yield int(process.name), dict(word.split("=", 1) for word in words if word)
            except OSError:  # it has ended
                continue


def test_a_killed_process_costs_nothing(tiny: Make, clear: Path, tmp_path: Path):
    """The second one of two, after the first checkpoint. Weights, averages and momenta are in the
    end those of a training that nobody disturbed, to the bit; the scores of both are there, and
    those that one process gives."""
    options = {"method": "source", "iterations": 12, "batch": 2, "test": (clear,)}
    whole = torchrun(tiny(name="whole", **options), tmp_path)
    said, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors

    config = tiny(name="hurt", checkpoint_minutes=1e-6, **options)
    running = torchrun(config, tmp_path, "--max-restarts", "2")
    hurt = config.out / "hurt-1"
    give_up = time.monotonic() + 240
    while not (hurt / "last.pt").exists():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.01)
    (second,) = [pid for pid, env in processes_of(running.pid) if env.get("RANK") == "1"]
    os.kill(second, signal.SIGKILL)
    again, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert "another process of this training has ended" in errors
    assert sorted(p.name for p in config.out.iterdir()) == ["hurt-1", "whole-1"]
    assert again.splitlines()[-1] == str(hurt)
    assert_same_bits(config.out / "whole-1", hurt)
    numbers = [row["iteration"] for row in rows(hurt)]
    assert numbers == [row["iteration"] for row in rows(config.out / "whole-1")]
    assert said.replace("whole", "hurt") == again

    test = open_test_set([clear], known=Run(hurt).classes)
    evaluate_to(tmp_path / "one", Run(hurt), test, device="cpu")
    (shared,) = hurt.glob("evaluate-*")
    for name in ("predictions.json", "scores.json"):
        assert (shared / name).read_text() == (tmp_path / "one" / name).read_text()
    assert len(json.loads((shared / "predictions.json").read_text())) > 20


def test_which_run_an_attempt_goes_on_with(tiny: Make, monkeypatch: pytest.MonkeyPatch):
    config = tiny(method="source", iterations=1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    run = train(config)
    assert restarts.begun_before(config) is None  # the first attempt begins anew
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarts.begun_before(config) == run
    assert train(config) == run
    assert restarts.begun_before(tiny(method="source", iterations=2)) is None
    # of a video, whose frames stand in the run's configuration
    assert restarts.begun_before(replace(config, target_every=0.5)) == run
    # the run has the number that was measured
    assert restarts.begun_before(tiny(method="source", iterations=1, batch="auto")) == run
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "8")  # of another torchrun
    assert restarts.begun_before(config) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_PORT", "29500")
    other = train(config)
    assert other != run
    assert restarts.begun_before(config) == other
    (other / "last.pt").unlink()
    assert restarts.begun_before(config) is None


def test_an_attempt_goes_on_with_the_labeller(
    tiny: Make, hazy: Path, monkeypatch: pytest.MonkeyPatch
):
    """The student of the first attempt has no checkpoint: its labeller was not done."""
    options = {"labeller": "train", "labeller_share": 0.5, "iterations": 2, "burn_in": 0.0}
    config = tiny(method="teacher", target=(hazy,), **options)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    with monkeypatch.context() as dying:
        dying.setattr(labeller, "label_target", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    run = config.out / "teacher-1"
    trained = run / "labeller-1"
    assert Run(trained).finished
    assert restarts.begun_before(config) is None  # the first attempt begins anew
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    for lost in ("model.json", "last.pt"):  # in the middle of its training, and at its end
        kept = (trained / lost).rename(trained / "elsewhere")
        assert restarts.begun_before(config) == run
        kept.rename(trained / lost)
    trained.rename(elsewhere := config.out / "elsewhere")
    assert restarts.begun_before(config) is None  # nothing to go on with
    (run / "labelling").mkdir()  # of a labeller that was there already
    assert restarts.begun_before(config) == run
    elsewhere.rename(trained)

    model = (trained / "model.safetensors").stat().st_mtime_ns
    assert train(config) == run
    assert Run(run).finished
    assert (trained / "model.safetensors").stat().st_mtime_ns == model


def interrupted(*arguments: object):
    """Ends a training as a kill does: nothing is saved."""
    raise KeyboardInterrupt

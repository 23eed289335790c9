"""Signals, kills and changed data: what is saved, and that a resumed run gives the same bits."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from run_files import assert_same_bits, rows
from signalled import Started, signalled

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.errors import UserError
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.loop import resume, train

Make = Callable[..., TrainConfig]


class TestInterruption:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_saves_and_resume_is_bit_exact(self, tiny: Make, tmp_path: Path, number: int):
        unbroken = train(tiny(iterations=12, name="unbroken"))
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(tiny(iterations=12, name="broken").to_dict()))
        where = ("dmaskrcnn.data.loader", "Batches", "__getitem__")
        done = signalled(where, 9, number, "train", "--config", config)
        assert done.returncode == 128 + number, done.stderr
        broken = unbroken.parent / "broken-1"
        assert Checkpoint.load(broken).iteration == 9
        resume(broken)
        assert_same_bits(unbroken, broken)
        assert [{**r, "seconds": 0} for r in rows(unbroken)] == [
            {**r, "seconds": 0} for r in rows(broken)
        ]

    def test_kill_9_loses_only_what_came_after_the_checkpoint(self, tiny: Make, tmp_path: Path):
        unbroken = train(tiny(iterations=14, name="unbroken"))
        config = tiny(iterations=14, name="broken", checkpoint_minutes=0.01)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
        running = Started("train", "--config", tmp_path / "config.yaml")
        broken = unbroken.parent / "broken-1"
        running.wait_for(broken / "last.pt")
        running.process.kill()
        assert running.ended().returncode == -signal.SIGKILL
        assert 0 < Checkpoint.load(broken).iteration < 14
        resume(broken)
        assert_same_bits(unbroken, broken)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_to_all_processes_saves_and_ends(self, tiny: Make, tmp_path: Path, number: int):
        """As a terminal, systemd or a queue sends it: to the processes that load images, too."""
        config = tiny(iterations=40, name="stopped", workers=1)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
        running = Started("train", "--config", tmp_path / "config.yaml")
        running.wait_for(running.log, "iteration 2")
        os.killpg(running.process.pid, number)
        done = running.ended(60)
        assert done.returncode == 128 + number, done.stderr
        assert "Traceback" not in done.stderr
        assert Checkpoint.load(Path(config.out) / "stopped-1").iteration > 0

    def test_resume_refuses_other_data(self, clear: Path, tiny: Make, tmp_path: Path):
        hazy = write_scenes(
            tmp_path / "hazy", 3, seed=5, size=(64, 96), visibility=(40, 80), labelled=False
        )
        run = train(tiny(target=(hazy,), iterations=1))
        next((hazy / "images").iterdir()).unlink()
        with pytest.raises(UserError, match="changed since this run began"):
            resume(run)

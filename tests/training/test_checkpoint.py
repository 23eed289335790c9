from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from disk import contents, full_disk
from torch import Tensor

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.run import Run
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.log import Metrics

Make = Callable[..., TrainConfig]


class TestCreate:
    def test_counts_up_and_keeps_the_configuration(self, tiny: Make):
        config = tiny(name="fog")
        first, second = (Run.create(config).path for _ in range(2))
        assert [first.name, second.name] == ["fog-1", "fog-2"]
        assert TrainConfig.from_dict(yaml.safe_load((second / "config.yaml").read_text())) == config

    def test_takes_the_first_free_number(self, tiny: Make):
        config = tiny()
        config.out.mkdir()
        (config.out / "grl-1").write_text("a file of somebody's")
        assert Run.create(config).name == "grl-2"
        assert (config.out / "grl-1").read_text() == "a file of somebody's"

    def test_out_that_cannot_be_written(self, tiny: Make, tmp_path: Path):
        (tmp_path / "file").write_text("in the way")
        for out in (tmp_path / "file", tmp_path / "file" / "runs"):
            with pytest.raises(UserError, match=f"--out {out}: .*; choose a") as error:
                Run.create(tiny(out=out))
            assert "\n" not in str(error.value)
        assert (tmp_path / "file").read_text() == "in the way"

    def test_name_with_a_slash(self, tiny: Make):
        with pytest.raises(UserError, match="--name 'a/b' must be a plain name"):
            Run.create(tiny(name="a/b"))

    def test_full_disk(self, tiny: Make):
        with full_disk(10), pytest.raises(UserError, match=r"config\.yaml: cannot be written"):
            Run.create(tiny())


class Evil:
    def __reduce__(self):
        return Path.write_text, (Path("owned"), "x")


def checkpoint(tensor: Tensor, **changes: Any) -> Checkpoint:
    state = Checkpoint({}, {}, 5, 3, False, False, False, 1.5, {}, {"a": tensor}, {}, {}, {})
    return replace(state, **changes)


class TestCheckpoint:
    def test_round_trip(self, tmp_path: Path):
        method = {"thresholds": torch.ones(2), "labels": {"warned": True}}
        checkpoint(torch.arange(3), method=method).save(tmp_path)
        again = Checkpoint.load(tmp_path)
        assert (again.iteration, again.seconds, again.restarted) == (5, 1.5, False)
        assert torch.equal(again.model["a"], torch.arange(3))
        assert torch.equal(again.method["thresholds"], torch.ones(2))
        assert again.method["labels"] == {"warned": True}

    @pytest.mark.parametrize("field", [f.name for f in fields(Checkpoint)])
    def test_every_field_must_be_there_and_of_its_type(self, tmp_path: Path, field: str):
        path = tmp_path / "last.pt"
        state = vars(checkpoint(torch.zeros(1)))
        for wrong, sign in (({}, "is missing"), ({field: "text"}, "is no ")):
            torch.save({k: v for k, v in state.items() if k != field} | wrong, path)
            with pytest.raises(UserError, match=rf"{field} {sign}.*; start the run again$"):
                Checkpoint.load(tmp_path)

    def test_missing(self, tmp_path: Path):
        with pytest.raises(UserError, match="gone: no such run folder"):
            Checkpoint.load(tmp_path / "gone")
        with pytest.raises(UserError, match=r"holds no last\.pt"):
            Checkpoint.load(tmp_path)

    @pytest.mark.parametrize(
        "kind", ["text", "empty", "pickle", "zip of a pickle", "cut", "list", "tensors only"]
    )
    def test_damaged_or_foreign(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
        monkeypatch.chdir(tmp_path)
        path = tmp_path / "last.pt"
        checkpoint(torch.zeros(1000)).save(tmp_path)
        match kind:
            case "text" | "empty":
                path.write_text("hello" * (kind == "text"))
            case "pickle":
                path.write_bytes(pickle.dumps(Evil()))
            case "zip of a pickle":
                torch.save({**vars(checkpoint(torch.zeros(1))), "model": Evil()}, path)
            case "cut":
                path.write_bytes(path.read_bytes()[:-500])
            case "list":
                torch.save([1, 2], path)
            case "tensors only":
                torch.save({"a": torch.zeros(1)}, path)
        with pytest.raises(UserError) as error:
            Checkpoint.load(tmp_path)
        assert str(error.value).startswith(f"{path}: ")
        assert str(error.value).endswith("start the run again")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "owned").exists()

    def test_full_disk_keeps_the_last_one(self, tmp_path: Path):
        checkpoint(torch.zeros(1)).save(tmp_path)
        with full_disk(10_000), pytest.raises(UserError, match=r"last\.pt: cannot be written"):
            checkpoint(torch.zeros(10_000), iteration=7).save(tmp_path)
        assert Checkpoint.load(tmp_path).iteration == 5
        assert list(contents(tmp_path)) == ["last.pt"]


class TestMetrics:
    def write(self, path: Path, count: int = 3) -> None:
        metrics = Metrics(path)
        for i in range(1, count + 1):
            metrics.write({"iteration": i, "loss": i / 3})

    def test_new_columns_start_empty(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        metrics = Metrics(path)
        metrics.write({"iteration": 1, "loss": 1.5})
        metrics.write({"iteration": 2, "loss": 1.0, "loss_domain": 0.7})
        metrics.write({"iteration": 3, "loss": 0.5})
        assert path.read_text() == "iteration,loss,loss_domain\n1,1.5,\n2,1,0.7\n3,0.5,\n"

    def test_resume_drops_what_will_be_made_again(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        self.write(path)
        Metrics(path, keep_until=2).write({"iteration": 3, "loss": 9.0})
        assert path.read_text() == "iteration,loss\n1,0.333333\n2,0.666667\n3,9\n"

    def test_rows_cut_short_are_dropped(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        self.write(path)
        path.write_text(path.read_text() + "2")  # of 20
        assert [r["iteration"] for r in Metrics(path, keep_until=20).rows] == ["1", "2", "3"]

    @pytest.mark.parametrize("room", [0, 5])
    def test_full_disk_leaves_whole_rows(self, tmp_path: Path, room: int):
        path = tmp_path / "metrics.csv"
        metrics = Metrics(path)
        metrics.write({"iteration": 1, "loss": 1.5})
        before = path.read_text()
        with (
            full_disk(path.stat().st_size + room),
            pytest.raises(UserError, match=r"metrics\.csv: cannot be written .*--resume"),
        ):
            metrics.write({"iteration": 2, "loss": 1 / 3})
        assert path.read_text() == before

    def test_file_that_is_no_text(self, tmp_path: Path):
        path = tmp_path / "metrics.csv"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UserError, match=r"metrics\.csv: cannot be read"):
            Metrics(path, keep_until=3)

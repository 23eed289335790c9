"""Test pictures that a training would learn from, and their groups."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.errors import UserError
from dmaskrcnn.training.inputs import open_data


def test_what_is_wrong_is_said_before_the_training(
    clear: Path,
    tiny: Callable[..., TrainConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    test = Path(shutil.copytree(clear, tmp_path / "test"))
    open_data(tiny(test=(test,), groups=r"(\d)\d*"))
    said = capsys.readouterr().err
    assert "warning: --test: 6 of 6 test pictures are also in --source (" in said
    assert "--target" not in said
    open_data(tiny(test=(clear,), target=(clear,)))
    assert "6 of 6 test pictures are also in --target (" in capsys.readouterr().err
    with pytest.raises(UserError, match="--groups folders"):
        open_data(tiny(test=(test,), groups="folders"))

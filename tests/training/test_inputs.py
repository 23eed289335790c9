"""What a training reads, and with how many processes."""

from __future__ import annotations

import pytest
import torch

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.training import inputs


@pytest.mark.parametrize(
    ("local", "device", "wanted"),
    [(1, "cuda", 15), (4, "cuda", 3), (16, "cuda", 1), (1, "cpu", 1)],
)
def test_loading_processes_of_a_gpu(
    local: int, device: str, wanted: int, monkeypatch: pytest.MonkeyPatch
):
    """They leave a core to the process that asks the GPU for work."""
    monkeypatch.setattr(inputs, "cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))
    config = TrainConfig.from_preset(method="source")
    assert inputs.loading_processes(config, torch.device(device)) == wanted
    config = TrainConfig.from_preset(method="source", workers=5)
    assert inputs.loading_processes(config, torch.device(device)) == 5

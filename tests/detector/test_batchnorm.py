"""Batch norms that share their statistics, against torch's own on the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dmaskrcnn.detector.batchnorm import SharedBatchNorm2d

# One process: its part of the images, of halves whose means and variances differ much.
SCRIPT = """
import os, sys
import torch
import torch.distributed as dist
from dmaskrcnn.detector.batchnorm import SharedBatchNorm2d

dist.init_process_group("gloo")
rank = dist.get_rank()
given = torch.load(sys.argv[1])
norm = SharedBatchNorm2d(3)
norm.load_state_dict(given["norm"])
images = given["images"].split(given["counts"])[rank].clone().requires_grad_()
found = norm(images)
(found * given["weights"].split(given["counts"])[rank]).sum().backward()
for parameter in norm.parameters():  # as DistributedDataParallel, but for the mean
    dist.all_reduce(parameter.grad)
grads = [images.grad, norm.weight.grad, norm.bias.grad]
torch.save([found.detach(), norm.running_mean, norm.running_var, *grads], f"{sys.argv[1]}.{rank}")
"""


@pytest.mark.parametrize("counts", [[2, 2], [3, 1], [0, 4]])
def test_statistics_and_gradients_are_those_of_the_whole_batch(tmp_path: Path, counts: list[int]):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 5, 7) * torch.tensor([1.0, 3.0, 1e-2])[:, None, None] + 2
    images[2:] = 3 * images[2:] - 5  # of the other process
    weights = torch.randn_like(images)
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    given = {"norm": norm.state_dict(), "images": images, "weights": weights, "counts": counts}
    torch.save(given, tmp_path / "in")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in")]
    pair = [subprocess.Popen(command, env={**shared, "RANK": str(i)}) for i in range(2)]
    assert [process.wait(120) for process in pair] == [0, 0]

    whole = images.clone().requires_grad_()
    found = norm(whole)
    (found * weights).sum().backward()
    parts = [torch.load(tmp_path / f"in.{rank}") for rank in range(2)]
    torch.testing.assert_close(torch.cat([p[0] for p in parts]), found.detach())
    torch.testing.assert_close(torch.cat([p[3] for p in parts]), whole.grad, atol=2e-5, rtol=1e-4)
    expected = [norm.running_mean, norm.running_var, norm.weight.grad, norm.bias.grad]
    for part in parts:
        for ours, theirs in zip([part[1], part[2], part[4], part[5]], expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_nothing_at_all_changes_no_statistics():
    """The masks' RoIs of a batch without any."""
    norm = SharedBatchNorm2d(3)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    nothing = torch.zeros(0, 3, 5, 7, requires_grad=True)
    found = norm(nothing)
    assert found.shape == nothing.shape
    found.sum().backward()
    assert torch.equal(norm.weight.grad, torch.zeros(3))
    for name in ("running_mean", "running_var"):
        assert torch.equal(norm.state_dict()[name], before[name])

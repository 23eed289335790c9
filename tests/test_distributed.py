"""Processes that find each other, also where others have been before them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch.distributed as dist
from torch.distributed import HashStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from dmaskrcnn.distributed import alone, meet, rank, world_size
from dmaskrcnn.errors import UserError

JOIN = """
import sys, time
import torch
from dmaskrcnn.distributed import average, processes
time.sleep(float(sys.argv[1]))
with processes("cpu"):
    print(average(torch.tensor(float(sys.argv[2]))).item())
"""


def test_a_process_may_compute_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with alone():
        assert (rank(), world_size()) == (0, 1)
    assert (rank(), world_size()) == (1, 2)


def test_processes_meet_whatever_earlier_ones_have_left():
    """Every attempt has a name of its own, although the words of the one before still stand."""
    store = HashStore()

    def late(number: int) -> str:
        time.sleep(0.1 * number)
        return meet(store, number, 3)

    with ThreadPoolExecutor(3) as pool:
        attempts = [list(pool.map(late, range(3))) for _ in range(3)]
    assert all(len(set(names)) == 1 for names in attempts)
    assert len({names[0] for names in attempts}) == 3


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_never_comes(number: int):
    store = HashStore()
    store.set(f"word/{1 - number}", "of a process that is gone")
    with pytest.raises(UserError, match="only some of the 2 processes"):
        meet(store, number, 2, patience=0.2)


@pytest.mark.skipif(not dist.is_gloo_available(), reason="this torch has no gloo")
def test_a_second_attempt_in_the_store_of_the_first():
    """As torchrun starts processes again: the late one's old address is still in its store, and the
    early one would call there."""
    agent = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(agent.port), "WORLD_SIZE": "2"}
    shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    for delay in ("0", "3"):
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", JOIN, delay if number else "0", str(number)],
                        env={**os.environ, **shared, "RANK": str(number), "LOCAL_RANK": "0"},
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for number in range(2)
            ]
            for process in started:
                stack.callback(process.kill)  # where the other one failed
            for process in started:
                said, errors = process.communicate(timeout=200)
                assert (process.returncode, said) == (0, "0.5\n"), errors

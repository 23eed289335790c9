"""The packages of the extra ``cluster``, and Ray without its noise."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dmaskrcnn.errors import UserError, first_line

MB = 2**20
# Of a local Ray: what goes through it are the weights and the names of pictures. By itself it would
# take 30 % of the memory.
STORE = 256 * MB
PATIENCE = 20  # s, for another machine to take a connection


def need(name: str) -> Any:
    """A module of Ray or pyarrow. Raises UserError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UserError(
            f"--cluster needs the package {package}, which is not installed: "
            "pip install 'dmaskrcnn[cluster]'"
        ) from error


def _answers(address: str) -> None:
    """Raises OSError where nothing does at HOST:PORT: Ray would try for minutes, in silence."""
    if found := re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address):
        socket.create_connection((found[1].strip("[]"), int(found[2])), PATIENCE).close()


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Away with what C++ says on standard error, past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def started(address: str, shipped: int) -> Iterator[Any]:
    """Ray, connected; one that runs in this process already stays as it is.

    Args:
        address: ``local`` starts one on this machine, which ends with the context; ``auto``, or the
            ``HOST:PORT`` of a cluster.
        shipped: bytes of weights that will go through it.

    Raises:
        UserError: no Ray is installed, or none answers there.
    """
    # said before it is imported: no report to its makers, no lines of its C++ on the terminal
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray, data = need("ray"), need("ray.data")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.FATAL}
    own = not ray.is_initialized()
    if own:
        local = {"include_dashboard": False, "object_store_memory": STORE + 2 * shipped}
        options = quiet | (local if address == "local" else {})
        try:
            _answers(address)
            before = signal.getsignal(signal.SIGTERM)
            with _no_stderr():
                ray.init(address, **options)
            with suppress(ValueError):  # not in the main thread: then Ray has set none either
                signal.signal(signal.SIGTERM, before)  # Ray's own ends the program at once
        except (OSError, ValueError, RuntimeError) as error:
            remedy = "start one with `ray start --head`, or leave the address out"
            raise UserError(
                f"--cluster {address}: no Ray there ({first_line(error)}); {remedy}"
            ) from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray").setLevel(logging.FATAL)
    logging.getLogger("ray.data").setLevel(logging.FATAL)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()

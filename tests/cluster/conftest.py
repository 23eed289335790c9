"""One Ray for all tests here, with one CPU and without a word."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Connected, with one CPU: what hangs there hangs on small machines."""
    pytest.importorskip("ray.data", reason="needs the extra `cluster`")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
        ray.init("local", num_cpus=1, object_store_memory=100 * 2**20, **options)
    yield ray
    ray.shutdown()

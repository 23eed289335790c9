"""Depth maps of a job, whose shards are done in this process, without Ray."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data_files import write_image
from PIL import Image

from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.depth_maps import DepthMaps
from dmaskrcnn.images.haze import HazeConditions

pytest.importorskip("pyarrow.parquet", reason="needs the extra `cluster`")
from dmaskrcnn.cluster.job import Cluster, run_job
from dmaskrcnn.cluster.tasks import PutBehindHaze, Task
from dmaskrcnn.cluster.worker import Worker


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts(_: Any, task: Task, store: Any, parcels: Any, shards: Any, hands: Any) -> Any:
        return map(Worker(task, store.address, [], "cpu", 2, None), shards)

    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 1.0})
    monkeypatch.setattr("dmaskrcnn.cluster.job.started", lambda *_: nullcontext(ray))
    monkeypatch.setattr("dmaskrcnn.cluster.job._parts", parts)
    monkeypatch.setattr(Worker, "_load", lambda self: self.task.begin([], "cpu", self.store))


def test_a_wrong_unit_is_said_once(
    without_ray: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """As by the plain verb, whichever actor finds it; and corrected, it is another job."""
    (maps := tmp_path / "maps").mkdir()
    for name in ("x", "y"):
        write_image(tmp_path / "pictures" / f"{name}.png")
        Image.fromarray(np.full((20, 30), 20, np.uint16)).save(maps / f"{name}.png")

    def haze(scale: float, out: str) -> list[str]:
        caplog.clear()
        task = PutBehindHaze(HazeConditions((50.0,), DepthMaps(maps, scale)))
        run_job(task, [tmp_path / "pictures"], tmp_path / out, Cluster(), progress=False)
        return caplog.messages

    (said,) = haze(0.001, "millimetres")
    assert "is 0.02 to 0.02 m away, where haze changes nothing" in said
    assert "give --depth-scale" in said
    assert haze(1.0, "metres") == []
    with pytest.raises(UserError, match="was begun with other depth_scale"):
        haze(1.0, "millimetres")

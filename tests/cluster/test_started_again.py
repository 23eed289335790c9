"""What a job that is started again does anew, and when one is not complete; its shards are done in
this process, without Ray."""

from __future__ import annotations

import json
import os
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
from dmaskrcnn.cluster import store as stored
from dmaskrcnn.cluster.job import Cluster, JobSummary, run_job
from dmaskrcnn.cluster.store import Store
from dmaskrcnn.cluster.tasks import Dehaze, PutBehindHaze, Task
from dmaskrcnn.cluster.worker import Worker


@pytest.fixture(autouse=True)
def without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose one actor works in a folder of its own."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def parts(_: Any, task: Task, store: Store, parcels: Any, shards: Any, hands: Any) -> Any:
        worker = Worker(task, store.address, [], "cpu", 2, Image.MAX_IMAGE_PIXELS)
        for shard in shards:
            os.chdir(elsewhere)
            part = worker(shard)
            os.chdir(tmp_path)
            if part["error"]:
                raise UserError(part["error"])
            yield part

    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 1.0})
    monkeypatch.setattr("dmaskrcnn.cluster.job.started", lambda *_: nullcontext(ray))
    monkeypatch.setattr("dmaskrcnn.cluster.job._parts", parts)
    monkeypatch.setattr(Worker, "_load", lambda self: self.task.begin([], "cpu", self.store))
    for number in range(16):  # two in each of eight parts
        write_image(tmp_path / "pictures" / f"{number:02}.png")


def do(inputs: str = "pictures", task: Task | None = None) -> JobSummary:
    return run_job(task or Dehaze("dark-channel"), [inputs], "out", Cluster(), progress=False)


def index() -> dict[str, Any]:
    return json.loads(Path("out/job.json").read_text())


def test_an_actor_in_another_folder_reads_and_writes_the_same_files(tmp_path: Path):
    for file in Path("pictures").iterdir():
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 30), 20, np.uint16)).save(tmp_path / "maps" / file.name)
    haze = HazeConditions((50.0,), DepthMaps(Path("maps"), 1.0))
    summary = do(task=PutBehindHaze(haze))
    assert (summary.images, summary.errors) == (16, 0)
    assert summary.out == str(tmp_path / "out")
    assert len(list(Path("out").glob("part-*"))) == 8
    assert list(Path("elsewhere").iterdir()) == []
    assert index()["complete"] is True


def test_parts_that_went_elsewhere_leave_the_job_incomplete(monkeypatch: pytest.MonkeyPatch):
    real = Store.write

    def write(store: Store, name: str, write: Any) -> None:
        if not name.startswith("part-000003"):
            real(store, name, write)

    monkeypatch.setattr(Store, "write", write)
    with pytest.raises(UserError, match=r"part-000003.parquet: is not there, though .*share"):
        do()
    assert index()["complete"] is False


def test_a_bucket_that_fails_ends_the_job_and_not_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dmaskrcnn.cluster.worker.PAUSES", ())
    real, failing = stored.read, [True]

    def read(address: str) -> bytes:
        if "/03.png" in address and failing:
            raise OSError("AWS Error NETWORK_CONNECTION")
        if "/04.png" in address:
            raise FileNotFoundError(address)
        return real(address)

    monkeypatch.setattr(stored, "read", read)
    bucket = f"file://{tmp_path}/pictures"
    said = r"^file:.*/03.png: cannot be fetched \(AWS .*; once it answers, the same command goes on"
    with pytest.raises(UserError, match=said):
        do(bucket)
    assert [part.name for part in Path("out").glob("part-*")] == ["part-000000.parquet"]
    assert index()["complete"] is False
    failing.clear()
    summary = do(bucket)
    assert (summary.images, summary.errors, summary.before) == (16, 1, 2)


def test_parts_that_failed_altogether_are_done_again():
    for name in ("02", "03", "05"):  # all of the second part, half of the third
        Path(f"pictures/{name}.png").rename(f"{name}.png")
        Path(f"pictures/{name}.png").write_bytes(b"a disk that was away")
    assert do().errors == 3
    for name in ("02", "03", "05"):
        Path(f"{name}.png").replace(f"pictures/{name}.png")
    summary = do()
    assert (summary.errors, summary.before) == (1, 14)


def test_with_other_max_pixels_what_was_too_large_is_done_again(monkeypatch: pytest.MonkeyPatch):
    write_image(Path("pictures/05.png"), 50, 60)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert do().errors == 1
    assert do().before == 16
    assert index()["max_pixels"] == 1000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    summary = do()
    assert (summary.errors, summary.before) == (0, 14)
    assert index()["max_pixels"] == 4000

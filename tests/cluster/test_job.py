"""Jobs on a Ray with one CPU, and the actor that does their shards."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from predict_cases import opened, photo

from dmaskrcnn.cli.main import main
from dmaskrcnn.dehazing import dehaze
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.haze import HazeConditions, haze_images
from dmaskrcnn.images.predict import predict_images

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra `cluster`")
from dmaskrcnn.cluster.job import Cluster, _hands, run_job  # noqa: E402
from dmaskrcnn.cluster.libraries import started  # noqa: E402
from dmaskrcnn.cluster.sources import find_sources  # noqa: E402
from dmaskrcnn.cluster.tasks import Dehaze, Detect, PutBehindHaze, Task  # noqa: E402
from dmaskrcnn.cluster.worker import Worker  # noqa: E402

# Ray warns of its own defaults
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
]


def rows(out: Path) -> list[dict[str, Any]]:
    parts = sorted(out.glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def do_here(ray: Any, task: Task, inputs: list[Path], out: Path, size: int = 3) -> None:
    """All shards in this process: a second, and not the ten that an actor takes to start."""
    parcels = [ray.put(parcel) for parcel in task.parcels()]
    worker = Worker(task, str(out), parcels, "cpu", 2, Image.MAX_IMAGE_PIXELS)
    for shard in find_sources(inputs, str(out)).shards(size):
        assert worker(shard)["error"] == ""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven, one of them broken, of several sizes."""
    random = np.random.default_rng(0)
    for number in range(6):
        pixels = random.integers(0, 255, (48 + number, 64, 3), dtype=np.uint8)
        file = tmp_path / "pictures" / f"{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (tmp_path / "pictures" / "1" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_detections_are_those_of_predict(ray: Any, run: Path, pictures: Path, tmp_path: Path):
    task = Detect((str(run),), 0.2, batch_size=3, pictures=True)
    do_here(ray, task, [pictures], tmp_path / "found")
    plain = tmp_path / "plain"
    predict_images(Detector.load(run, "cpu"), [pictures], plain, 0.2, 3, progress=False)
    expected = json.loads((plain / "detections.json").read_text())
    found = rows(tmp_path / "found")
    broken = [row for row in found if row["error"]]
    assert [row["file"] for row in broken] == [str(pictures / "1/broken.png")]
    assert broken[0]["error"] == expected["skipped"][0]["reason"]
    assert broken[0]["detections"] is None
    good = [row for row in found if not row["error"]]
    assert sum(len(row["detections"]) for row in good) > 6
    for ours, theirs in zip(good, expected["images"], strict=True):
        assert ours["file"] == theirs["file"]
        assert (ours["width"], ours["height"]) == (theirs["width"], theirs["height"])
        assert ours["haze"] == pytest.approx(theirs["haze"])
        for one, other in zip(ours["detections"], theirs["detections"], strict=True):
            assert (one["class"], one["mask"]) == (other["class"], other["mask"])
            assert one["box"] == pytest.approx(other["box"])
            assert one["score"] == pytest.approx(other["score"])
        same = opened(tmp_path / "found" / ours["picture"]) == opened(plain / theirs["picture"])
        assert same.all()


def test_dehazed_pictures_are_those_of_dehaze(ray: Any, pictures: Path, tmp_path: Path):
    do_here(ray, Dehaze("dark-channel", maps=True), [pictures], tmp_path / "clear")
    good = [row for row in rows(tmp_path / "clear") if not row["error"]]
    assert [row["picture"] for row in good][:2] == ["pictures/0/0.png", "pictures/0/2.png"]
    expected = dehaze(pictures / "0/2.png", "dark-channel").permute(1, 2, 0).numpy()
    assert (opened(tmp_path / "clear/pictures/0/2.png") == expected).all()
    assert (tmp_path / "clear" / good[1]["maps"]).is_file()


def test_haze_is_that_of_haze(ray: Any, pictures: Path, tmp_path: Path):
    haze = HazeConditions((50.0, 150.0), seed=3)
    do_here(ray, PutBehindHaze(haze), [pictures], tmp_path / "hazy")
    haze_images([pictures], tmp_path / "plain", haze, progress=False)
    good = [row for row in rows(tmp_path / "hazy") if not row["error"]]
    assert len(good) == 6
    for row in good:
        for metres in ("50", "150"):
            name = f"visibility-{metres}/images/{row['picture']}"
            assert (opened(tmp_path / "hazy" / name) == opened(tmp_path / "plain" / name)).all()
    left, right = (
        sorted(p.name for p in (tmp_path / f / "transmission-50").rglob("*.png"))
        for f in ("hazy", "plain")
    )
    assert left == right


def test_pictures_of_a_table_and_of_a_bucket(ray: Any, pictures: Path, tmp_path: Path):
    import pyarrow as pa

    data = [(pictures / "0/0.png").read_bytes(), b"no picture", None]
    pq.write_table(pa.table({"image": data}), tmp_path / "few.parquet")
    inputs = [tmp_path / "few.parquet", Path(f"file://{pictures}/0")]
    do_here(ray, Dehaze("dark-channel"), inputs, Path(f"file://{tmp_path}/clear"))
    found = rows(tmp_path / "clear")
    table = f"{tmp_path}/few.parquet"
    assert [row["file"] for row in found[3:]] == [f"{table}#0", f"{table}#1", f"{table}#2"]
    assert [row["picture"] for row in found[:1]] == ["pictures/0.png"]
    assert [row["picture"] for row in found[3:]] == ["pictures/few/000000000.png", None, None]
    assert found[4]["error"].startswith("cannot read the picture")
    assert found[5]["error"] == "no picture in this row"
    same = opened(tmp_path / "clear/pictures/few/000000000.png")
    assert (same == opened(tmp_path / "clear/pictures/0.png")).all()


def test_a_killed_worker_loses_and_doubles_nothing(ray: Any, run: Path, tmp_path: Path, capsys):
    """A real actor, killed by the system after its second part; then the job is started again
    where parts are missing, and refused where it is another."""
    for number in range(40):
        photo(tmp_path / "many" / f"{number:02}.png", (96, 64), (6 * number, 80, 90))
    (tmp_path / "many" / "07.png").write_bytes(b"no picture")
    out, killed = tmp_path / "found", list[int]()

    def kill() -> None:
        give_up = time.monotonic() + 600
        while not killed and time.monotonic() < give_up:
            if len(list(out.glob("part-*"))) >= 2:
                killed.extend(actors())
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    thread = threading.Thread(target=kill)
    thread.start()
    words = f"predict {run} {tmp_path / 'many'} --out {out} --device cpu --threshold 0.2"
    main([*words.split(), "--cluster", "local"])
    thread.join()
    assert len(killed) == 1
    said = capsys.readouterr()
    assert "in 39 images, 1 unreadable (column `error`)" in said.out
    first = rows(out)
    assert [row["file"] for row in first] == sorted(map(str, (tmp_path / "many").iterdir()))
    assert [bool(row["error"]) for row in first].count(True) == 1
    assert json.loads((out / "job.json").read_text())["complete"] is True

    parts = sorted(out.glob("part-*"))
    assert len(parts) == 8
    kept = parts[0].stat().st_mtime_ns
    parts[3].unlink()
    parts[5].write_bytes(parts[5].read_bytes()[:200])  # a disk that lost its end
    task = Detect((str(run),), 0.2)
    summary = run_job(task, [tmp_path / "many"], out, Cluster(device="cpu"), progress=False)
    assert (summary.images, summary.errors, summary.before) == (40, 1, 30)
    assert rows(out) == first
    assert parts[0].stat().st_mtime_ns == kept
    assert run_job(task, [tmp_path / "many"], out, Cluster(), progress=False).before == 40

    other = Detect((str(run),), 0.3)
    with pytest.raises(UserError, match=r"job.json: was begun with other threshold; choose"):
        run_job(other, [tmp_path / "many"], out, Cluster(), progress=False)
    with pytest.raises(UserError, match="other pictures"):
        run_job(task, [tmp_path / "many/01.png"], out, Cluster(), progress=False)


def actors() -> list[int]:
    """The processes of actors that Ray Data started for this process."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                said, pid = (process / "cmdline").read_bytes(), int(process.name)
                if b"ray::" in said and b"Map" in said and os.getpid() in ancestors(pid):
                    found.append(pid)
            except OSError:  # it has ended
                continue
    return found


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def test_an_error_of_an_actor_is_one_line(ray: Any, pictures: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    os.symlink("/", tmp_path / "out" / "pictures")
    (tmp_path / "out/job.json").write_text("{}")
    with pytest.raises(UserError, match="was not written by dmaskrcnn dehaze --cluster"):
        run_job(Dehaze(), [pictures], tmp_path / "out", Cluster(), progress=False)
    (tmp_path / "out/job.json").unlink()
    (tmp_path / "out/pictures").rename(tmp_path / "link")

    task = Dehaze("dark-channel", ignore_rows=(30.0, 30.0))  # more than there are
    with pytest.raises(UserError, match=r"^--ignore-rows: 30 and 30 of 48 rows leave nothing"):
        run_job(task, [pictures / "0/0.png"], tmp_path / "out", Cluster(), progress=False)


def test_nothing_can_be_read(ray: Any, pictures: Path, tmp_path: Path):
    with pytest.raises(UserError, match="none of the 1 images can be read; the column `error`"):
        run_job(
            Dehaze("dark-channel"),
            [pictures / "1/broken.png"],
            tmp_path / "out",
            Cluster(),
            progress=False,
        )
    assert rows(tmp_path / "out")[0]["error"].startswith("cannot read the picture")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        pytest.importorskip("ray", reason="needs the extra `cluster`"),
        "is_initialized",
        lambda: False,
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = rf"^--cluster 127.0.0.1:{port}: no Ray there .*refused.*ray start --head"
    with pytest.raises(UserError, match=said), started(f"127.0.0.1:{port}", 0):
        pass


def test_who_gets_what_of_a_cluster():
    big = {"CPU": 64.0, "GPU": 4.0, "memory": 500e9}
    assert _hands(big, Cluster()) == {
        **{"actors": 4, "device": "cuda", "num_cpus": 1.0, "num_gpus": 1.0, "threads": 16}
    }
    assert _hands(big, Cluster(actors=8))["num_gpus"] == 0.5
    assert _hands(big, Cluster(device="cpu"))["actors"] == 64
    assert _hands({"CPU": 64.0, "memory": 10e9}, Cluster())["actors"] == 5  # as many as fit
    one = _hands({"CPU": 1.0, "memory": 8e9}, Cluster(actors=3))
    assert 3 * one["num_cpus"] <= 1
    with pytest.raises(UserError, match="--device cuda: the cluster has no GPU"):
        _hands({"CPU": 1.0}, Cluster(device="cuda"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--cluster --track", "--track has no use with --cluster"),
        ("--actors 2", "--actors is for --cluster"),
        ("--column x", "--column is for --cluster"),
        ("--pictures", "--pictures is for --cluster"),
        ("--cluster --actors -1", "--actors must be at least 0"),
        ("--cluster --device mps", "--device: 'mps' is none"),
        ("--cluster --threshold 2", "--threshold must be from 0 to 1"),
    ],
)
def test_flags(fails: Callable[..., str], run: Path, tmp_path: Path, words: str, message: str):
    photo(tmp_path / "a.png")
    given = ["predict", run, tmp_path / "a.png", "--out", tmp_path / "out"]
    assert fails(*given, *words.split()).startswith(message)
    assert not (tmp_path / "out").exists()

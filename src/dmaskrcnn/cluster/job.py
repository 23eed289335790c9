"""A job from start to end: what there is to do, who does it, and what became of it.

    dmaskrcnn predict RUN pictures/ --out found --cluster

``OUT`` holds ``part-NNNNNN.parquet``, a row per picture in the order of the inputs, and
``job.json``::

    {"format": "dmaskrcnn cluster 1", "complete": true,
     "verb": "predict", "options": {…},       all that the results depend on
     "pictures": 100000, "inputs": "3f6c…",   how many, and a digest of their names
     "shard": 1000,                           pictures per part
     "max_pixels": 89478485,                  of a picture at most, in the last start
     "errors": 3, "objects": 251734}          in the end: pictures that could not be read, objects
"""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dmaskrcnn.cluster import store as stored
from dmaskrcnn.cluster.libraries import need, started
from dmaskrcnn.cluster.sources import find_sources
from dmaskrcnn.cluster.store import Store
from dmaskrcnn.cluster.tasks import Task
from dmaskrcnn.cluster.worker import KEY, Worker, part_name
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.images.jobs import Progress
from dmaskrcnn.output_folder import index_format, not_ours

_log = logging.getLogger(__name__)
INDEX = "job.json"
# Pictures per part at most: a part takes minutes at most on a GPU, and a few MB. At least eight
# parts per actor, so that none waits long for the last one.
MOST, PARTS = 1000, 8
# GB that an actor takes: torch, a ResNet-50 and what it computes at 800 px
MEMORY = 2e9
DEATHS = 5  # of workers at one shard, after which the job ends: a picture may be to blame


@dataclass(frozen=True)
class Cluster:
    """Where a job runs.

    Args:
        address: of Ray: ``local``, ``auto``, ``HOST:PORT``.
        actors: how many; 0: one per GPU, or else one per CPU as far as the memory goes.
        device: ``auto`` takes GPUs where there are some.
    """

    address: str = "local"
    actors: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.actors < 0:
            raise UserError(f"--actors must be at least 0, got {self.actors}")
        if self.device.partition(":")[0] not in ("auto", "cpu", "cuda"):
            raise UserError(f"--device: {self.device!r} is none; choose auto, cpu or cuda")


@dataclass
class JobSummary:
    """What became of a job, earlier starts of it included.

    Attributes:
        out: the address of the results.
        verb: of the command line.
        images: pictures, unreadable ones included.
        errors: those that could not be read; their rows say why.
        objects: that were found.
        before: pictures that an earlier start had done.
    """

    out: str
    verb: str
    images: int = 0
    errors: int = 0
    objects: int = 0
    before: int = 0

    def add(self, part: dict[str, Any]) -> None:
        """Count what a part says of itself."""
        self.images += part["images"]
        self.errors += part["errors"]
        self.objects += part["objects"]

    def __str__(self) -> str:
        did = {"predict": f"{self.objects} objects in ", "dehaze": "", "haze": ""}[self.verb]
        done = {"predict": "", "dehaze": " dehazed", "haze": " hazed"}[self.verb]
        text = f"{did}{self.images - self.errors} images{done}"
        text += f", {self.errors} unreadable (column `error`)" if self.errors else ""
        return text + (f", {self.before} of them before" if self.before else "") + f": {self.out}"


def run_job(
    task: Task,
    inputs: Sequence[str | Path],
    out: str | Path,
    cluster: Cluster,
    column: str = "",
    progress: bool = True,
) -> JobSummary:
    """Do a task for all pictures, or go on where an earlier call stopped.

    Args:
        task: what to do.
        inputs: see `find_sources`.
        out: the folder or address of the results; nothing but a job's own may be there.
        cluster: where.
        column: of Parquet inputs.
        progress: report progress on stderr.

    Raises:
        UserError: bad input, no Ray, results of another job, or something that cannot be written;
            parts that are done stay.
    """
    store = Store(out)
    sources = find_sources(inputs, store.address, column)
    index = {
        "verb": task.verb,
        "options": task.options(),
        "pictures": len(sources),
        "inputs": sources.digest,
    }
    before = _begun(store, index)
    done = _done(store) if before else {}
    summary = JobSummary(store.address, task.verb)
    parcels = task.parcels()
    shipped = sum(len(data) for parcel in parcels for data in parcel.values())
    with started(cluster.address, shipped) as ray:
        hands = _hands(ray.cluster_resources(), cluster)
        size = before or min(MOST, math.ceil(len(sources) / (PARTS * hands["actors"])))
        index |= {"shard": size, "max_pixels": Image.MAX_IMAGE_PIXELS}
        _write_index(store, {"complete": False, **index})
        shards = list(sources.shards(size))
        done = {n: part for n, part in done.items() if n < len(shards) and _stays(part)}
        for part in done.values():
            summary.add(part)
        summary.before = summary.images
        missing = [shard for shard in shards if shard["number"] not in done]
        report = Progress(len(sources) - summary.before, progress, task.verb)
        try:
            doubted = False  # said once: maps of a wrong unit are so all alike
            for part in _parts(ray, task, store, parcels, missing, hands):
                summary.add(part)
                if part["doubt"] and not doubted:
                    doubted = True
                    _log.warning("%s", part["doubt"])
                report.step(part["images"])
        except KeyboardInterrupt:
            left = f"{summary.images} of {len(sources)} pictures are done"
            print(f"{left}; the same command goes on with the others", file=sys.stderr)
            raise
        finally:
            report.close()
    if lost := sorted({part_name(shard["number"]) for shard in shards} - set(store.names())):
        said = f"{store.of(lost[0])}: is not there, though a worker wrote it"
        raise UserError(f"{said}; choose an --out that all machines share, or a bucket")
    if summary.images == summary.errors:
        raise UserError(
            f"{inputs[0]}: none of the {summary.images} images can be read; the column `error` of "
            f"{store.of(part_name(0))} says why"
        )
    ended = {"errors": summary.errors, "objects": summary.objects}
    _write_index(store, {"complete": True, **index, **ended})
    return summary


def _parts(
    ray: Any,
    task: Task,
    store: Store,
    parcels: list[dict[str, bytes]],
    shards: list[dict[str, Any]],
    hands: dict[str, Any],
) -> Any:
    """What each part says of itself, as they are done. Raises UserError where an actor met one, or
    actors keep dying."""
    if not shards:
        return
    data, errors = need("ray.data"), need("ray.exceptions")
    sent = [ray.put(parcel) for parcel in parcels]  # held here, so that actors can start again
    limit = Image.MAX_IMAGE_PIXELS
    arguments = (task, store.address, sent, hands["device"], hands["threads"], limit)
    actors = min(hands["actors"], len(shards))
    with warnings.catch_warnings():
        # the only way to bound the tries, which goes with Ray 2.64
        warnings.simplefilter("ignore")
        results = data.from_items(shards, override_num_blocks=len(shards)).map(
            Worker,
            fn_constructor_args=arguments,
            compute=data.ActorPoolStrategy(size=actors),
            num_cpus=hands["num_cpus"],
            num_gpus=hands["num_gpus"],
            ray_remote_args_fn=lambda: {"max_task_retries": DEATHS},
        )
    try:
        for part in results.iter_rows():
            if part["error"]:
                raise UserError(part["error"])
            yield part
    except errors.RayTaskError:  # a mistake of ours
        raise
    except errors.RayError as error:
        raise UserError(
            f"{store.address}: workers keep dying ({first_line(error)}); if memory ran out, lower "
            "--actors. What is done stays, the same command goes on"
        ) from error


def _hands(resources: dict[str, float], cluster: Cluster) -> dict[str, Any]:
    """How many actors, what each takes of the cluster, and how many threads decode for it."""
    cpus, gpus = resources.get("CPU", 0.0), int(resources.get("GPU", 0))
    on_gpu = cluster.device.startswith("cuda") or (cluster.device == "auto" and gpus > 0)
    if on_gpu and not gpus:
        raise UserError(f"--device {cluster.device}: the cluster has no GPU; use cpu or auto")
    fitting = max(1, min(int(cpus), int(resources.get("memory", MEMORY) // MEMORY)))
    actors = cluster.actors or (gpus if on_gpu else fitting)
    share = cpus / actors
    return {
        "actors": actors,
        "device": "cuda" if on_gpu else "cpu",
        # all of them fit at once, also where there are fewer CPUs than actors
        "num_cpus": max(0.01, math.floor(100 * min(1.0, share)) / 100),
        "num_gpus": math.floor(100 * min(1.0, gpus / actors)) / 100 if on_gpu else 0,
        "threads": max(2, min(16, int(share))),
    }


def _begun(store: Store, index: dict[str, Any]) -> int:
    """Pictures per part of the same job, begun before; 0: there was none.

    Raises:
        UserError: what is there is another job's, or none's.
    """
    names = store.names()
    if INDEX not in names:
        if names:
            raise not_ours(Path(store.of(names[0])), f"{index['verb']} --cluster")
        return 0
    where = store.of(INDEX)
    try:
        said = json.loads(stored.read(where))
        known = said["format"] == index_format("cluster") and isinstance(said["complete"], bool)
        size = said["shard"]
        if not (known and type(size) is int and 0 < size <= MOST):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise not_ours(Path(where), f"{index['verb']} --cluster") from error
    index = json.loads(json.dumps(index))  # as it was written
    changed = [key for key in index if said.get(key) != index[key]]
    if "options" in changed and isinstance(said["options"], dict):
        mine, theirs = index["options"], said["options"]
        changed = [key for key in mine if theirs.get(key) != mine[key]]
    if changed:
        raise UserError(f"{where}: was begun with other {changed[0]}; choose another --out")
    return size


def _done(store: Store) -> dict[int, dict[str, Any]]:
    """What each whole part says of itself, by its number."""
    names = [name for name in store.names() if name.startswith("part-")]
    with ThreadPoolExecutor(16) as pool:
        parts = zip(names, pool.map(lambda name: _footer(store.of(name)), names), strict=True)
        return {int(name[5:-8]): part for name, part in parts if part and name[5:-8].isdigit()}


def _stays(part: dict[str, Any]) -> bool:
    """Whether a part need not be done again, as it must where nothing could be read (a disk was
    away?), and where pictures may have been too large for an earlier ``--max-pixels``."""
    same = part.get("max_pixels", Image.MAX_IMAGE_PIXELS) == Image.MAX_IMAGE_PIXELS
    return not part["errors"] or (same and part["errors"] < part["images"])


def _footer(part: str) -> dict[str, Any] | None:
    """What a part says of itself; None where it is damaged."""
    try:
        system, path = stored.opened(part)
        with system.open_input_file(path) as stream:
            said = json.loads(need("pyarrow.parquet").read_schema(stream).metadata[KEY])
        whole = all(type(said[key]) is int for key in ("images", "errors", "objects"))
        return said if whole else None
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are ValueErrors
        return None


def _write_index(store: Store, content: dict[str, Any]) -> None:
    text = json.dumps({"format": index_format("cluster"), **content}, indent=1) + "\n"
    store.write(INDEX, lambda path: path.write_text(text, encoding="utf-8"))

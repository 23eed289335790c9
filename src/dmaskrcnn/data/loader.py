"""Batches as a pure function of ``(seed, iteration)``: nothing to save for a resume, disjoint
shards for any process count."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dmaskrcnn.data.augment import Augmentation
from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.sample import Batch, Broken, Sample
from dmaskrcnn.data.transport import pack, unpack
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import derive_seed

# pictures that are tried for one: were half of a data set broken, one in 10^15 would find none
ATTEMPTS = 50


# two domains, and a batch may touch two epochs; a pure function, so that caching changes nothing
@lru_cache(maxsize=8)
def permutation(seed: int, domain: str, epoch: int, n: int) -> np.ndarray:
    """The order of n images in one epoch: int64 ``(n,)``."""
    return np.random.Generator(
        np.random.Philox(derive_seed(seed, domain, "epoch", epoch))
    ).permutation(n)


class Batches(TorchDataset[Batch]):
    """The batch of every iteration, one process's share of it.

    Global position ``p = iteration · B + j`` of a domain takes image ``permutation(seed, domain, p
    // n)[p % n]``, augmented with a seed made from ``(seed, domain, p)``: every image once per
    epoch, epochs running on over batch borders. Process ``rank`` of ``world`` takes the j with ``j
    ≡ rank (mod world)``; together the processes hold what one process would. For an image that
    cannot be decoded another stands in, a function of ``(seed, domain, p)`` as well.
    """

    def __init__(
        self,
        source: Dataset,
        target: Dataset | None,
        source_per_batch: int,
        target_per_batch: int,
        seed: int,
        augment_source: Augmentation,
        augment_target: Augmentation,
        rank: int = 0,
        world: int = 1,
        target_labels: bool = False,
        gone: Mapping[str, Collection[int]] = MappingProxyType({}),
    ) -> None:
        """Prepare; reads nothing.

        Args:
            source: labelled images.
            target: images of the other domain; None if ``target_per_batch`` is 0.
            source_per_batch: per iteration, over all processes.
            target_per_batch: per iteration, over all processes.
            seed: of order and augmentation.
            augment_source: of source samples; also resizes.
            augment_target: the same for target samples.
            rank: of this process.
            world: number of processes.
            gone: per domain the places of images that were there when the training began and could
                not be decoded, and are in the data set no more: others stand in for them as before.
            target_labels: let target samples keep their objects (the oracle); otherwise they are
                taken off here.

        Raises:
            UserError: a count does not divide by the number of processes, or there are no images to
            fill it.
        """
        for name, per_batch, images in (
            ("source", source_per_batch, source),
            ("target", target_per_batch, target),
        ):
            if per_batch % world:
                raise UserError(
                    f"{per_batch} {name} images per batch do not divide by {world} "
                    "processes; choose a multiple"
                )
            if per_batch and not images:
                raise UserError(
                    f"{per_batch} {name} images per batch, but no {name} images; name "
                    f"some with --{name}"
                )
        if target is not None and not target_labels:
            target = target.without_labels()
        self._domains = [("source", source, source_per_batch, augment_source)]
        if target is not None and target_per_batch:
            self._domains.append(("target", target, target_per_batch, augment_target))
        self._places = {
            name: find_places(len(images), gone.get(name, ())) for name, images, *_ in self._domains
        }
        self._seed, self._rank, self._world = seed, rank, world

    def __getitem__(self, index: int) -> Batch:
        """The batch of iteration ``index`` (from 0, without end)."""
        batch = Batch([], [])
        samples = {"source": batch.source, "target": batch.target}
        size = derive_seed(self._seed, "size", index)
        for domain, images, per_batch, usual in self._domains:
            augment = usual.of_batch(size)
            for j in range(self._rank, per_batch, self._world):
                position = index * per_batch + j
                seed = derive_seed(self._seed, domain, position)
                load = partial(self._load, domain, images, least=augment.least)
                sample = load(position, batch.broken)
                others = self._others(domain, position, augment.companions(seed), load)
                samples[domain].append(replace(augment(sample, seed, others), seed=seed))
        return batch

    def _others(
        self, domain: str, position: int, count: int, load: Callable[..., Sample]
    ) -> list[Sample]:
        """Images that the position alone chooses, to go with its own; those that are broken are
        reported where their own turn comes."""
        places = len(self._places[domain])
        own = (derive_seed(self._seed, domain, position, "beside", k) for k in range(count))
        return [load(turn % places, []) for turn in own]

    def _load(
        self,
        domain: str,
        images: Dataset,
        position: int,
        broken: list[Broken],
        least: tuple[float, float],
    ) -> Sample:
        """The image of a position, or, where it cannot be decoded, one that the position alone
        chooses; what is found to be broken is added to ``broken``."""
        places = self._places[domain]
        epoch, turn = divmod(position, len(places))
        place = int(permutation(self._seed, domain, epoch, len(places))[turn])
        for attempt in range(ATTEMPTS):
            if (image := int(places[place])) >= 0:
                try:
                    return images.load(image, least)
                except UserError as error:
                    broken.append(Broken(domain, place, str(error)))
            place = derive_seed(self._seed, domain, position, "instead", attempt) % len(places)
        reason = broken[-1].reason if broken else "they are gone"
        raise UserError(f"{ATTEMPTS} {domain} images in a row cannot be read ({reason})")


def find_places(images: int, gone: Collection[int]) -> np.ndarray:
    """Per place the number of its image, −1 where that is gone: int64 ``(images + gone,)``."""
    places = np.full(images + len(gone), -1, dtype=np.int64)
    places[np.setdiff1d(np.arange(len(places)), list(gone))] = np.arange(images)
    return places


class _Packed(TorchDataset):
    """Batches as they travel from a worker: packed, or the user's error as a value (raised, it
    would arrive as a traceback)."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, index: int) -> object:
        try:
            return pack(self._batches[index])
        except UserError as error:
            return error


def batch_loader(
    batches: Batches,
    start: int,
    stop: int | None,
    workers: int,
    device: torch.device | None = None,
) -> Generator[Batch, None, None]:
    """The batches of iterations ``start … stop − 1``, made ahead by worker processes.

    The result does not depend on ``workers``. Close the iterator (or let it go) to end the workers.

    Args:
        batches: what to load.
        start: first iteration.
        stop: end, exclusive; None: endless.
        workers: processes, at most one per core; 0: in this process.
        device: where the batches are to be; None: where they are made.

    Raises:
        UserError: as raised in the worker, its one line kept.
    """
    iterations = count(start) if stop is None else range(start, stop)
    workers = min(workers, cores())
    on_gpu = device is not None and device.type == "cuda"
    if workers == 0:
        for iteration in iterations:
            batch = batches[iteration]
            yield unpack(pack(batch), device) if on_gpu else batch
        return
    loader = DataLoader(
        _Packed(batches),
        batch_size=None,
        sampler=_Iterations(iterations),  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        # batches that a process makes ahead; many hold much memory that all processes share
        prefetch_factor=4 if workers == 1 else 2,
        collate_fn=_as_is,
        pin_memory=on_gpu,
        worker_init_fn=partial(_start_worker, Image.MAX_IMAGE_PIXELS),
        # Forked workers share the annotations' memory and start at once; elsewhere fork is unsafe
        # or absent.
        multiprocessing_context="fork" if sys.platform == "linux" else "spawn",
    )
    with warnings.catch_warnings():
        # Python ≥ 3.12 warns of any fork beside threads; workers use one thread and no lock of the
        # parent's.
        warnings.filterwarnings(
            "ignore", message=".*multi-threaded.*fork", category=DeprecationWarning
        )
        arriving = _iterate(loader)
    for item in arriving:
        if isinstance(item, UserError):
            raise item
        yield unpack(item, device)


def _iterate(loader: DataLoader) -> Iterator[Any]:
    """``iter(loader)``, where the death of a worker is an error when a batch is asked for, and only
    then.

    PyTorch's own handler raises it wherever the main process happens to be, in the middle of a
    training step: a SIGTERM sent to all processes, as systemd and queues do, would then cost the
    run its last state.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return iter(loader)
    previous = signal.getsignal(signal.SIGCHLD)
    arriving = iter(loader)
    signal.signal(signal.SIGCHLD, previous or signal.SIG_DFL)
    return arriving


class _Iterations:
    """A sampler: the numbers of the iterations, possibly without end."""

    def __init__(self, iterations: range | count[int]) -> None:
        self._iterations = iterations

    def __iter__(self) -> Iterator[int]:
        return iter(self._iterations)


def _as_is(item: object) -> object:
    return item


def _start_worker(max_pixels: int | None, _: int) -> None:
    Image.MAX_IMAGE_PIXELS = max_pixels
    # Ctrl-C is the main process's, which saves and then ends the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Batches are a pure function of seed and iteration, whoever computes them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import (
    Augmentation,
    Batch,
    Batches,
    Dataset,
    Sample,
    batch_loader,
    open_dataset,
    open_images,
    same_images,
)
from dmaskrcnn.data.objects import no_masks
from dmaskrcnn.data.transport import pack, shifted_bits, unpack, unpacked_bits
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import derive_seed

AUGMENT = Augmentation(16, 32, scale=(0.8, 1.5), strong=True)


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Dataset, Dataset]:
    triangle = [[4, 5, 24, 5, 14, 15]]
    objects = [
        coco_object(i, image=1 + i % 5, bbox=(4, 5, 20, 10), segmentation=triangle if i % 2 else [])
        for i in range(9)
    ]
    source = open_dataset(write_coco(tmp_path / "source", objects, images=7))
    for i in range(5):
        write_image(tmp_path / "target" / f"{i}.png", seed=100 + i)
    return source, open_images(tmp_path / "target")


def make(
    domains: tuple[Dataset, Dataset],
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    source: int = 4,
    target: int = 2,
) -> Batches:
    return Batches(*domains, source, target, seed, AUGMENT, AUGMENT, rank, world)


def same(a: list[Sample], b: list[Sample]) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if (x.path, x.image_id, x.seed) != (y.path, y.image_id, y.seed) or not torch.equal(
            x.image, y.image
        ):
            return False
        if (x.objects is None) != (y.objects is None):
            return False
        if x.objects is not None and y.objects is not None:
            for name in ("boxes", "labels", "masks", "has_mask", "crowd", "difficult"):
                p, q = getattr(x.objects, name), getattr(y.objects, name)
                if p.dtype != q.dtype or not torch.equal(p, q):
                    return False
    return True


def test_batches_are_stateless(domains: tuple[Dataset, Dataset]) -> None:
    batches, again = make(domains), pickle.loads(pickle.dumps(make(domains)))
    forward = [batches[i] for i in range(5)]
    backward = [again[i] for i in reversed(range(5))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert same(a.source, b.source)
        assert same(a.target, b.target)
        assert len(a.source) == 4
        assert len(a.target) == 2
        assert all(s.objects is not None for s in a.source)
        assert all(s.objects is None for s in a.target)
    assert not same(forward[0].source, make(domains, seed=1)[0].source)
    seeds = [s.seed for b in forward for s in (*b.source, *b.target)]
    assert len(set(seeds)) == len(seeds)


def test_every_image_once_per_epoch_in_a_new_order(domains: tuple[Dataset, Dataset]) -> None:
    batches = make(domains, source=4, target=3)
    source = [s.image_id for i in range(14) for s in batches[i].source]
    target = [s.image_id for i in range(14) for s in batches[i].target]
    epochs = [source[i : i + 7] for i in range(0, 56, 7)]
    assert all(len(set(epoch)) == 7 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert set(Counter(target[:40]).values()) == {8}


@pytest.mark.parametrize("world", [2, 4])
def test_shards_are_disjoint_and_together_the_whole(
    domains: tuple[Dataset, Dataset], world: int
) -> None:
    whole = make(domains, source=4, target=4)
    shards = [make(domains, rank=r, world=world, source=4, target=4) for r in range(world)]
    for i in range(3):
        parts = [shard[i] for shard in shards]
        for domain in ("source", "target"):
            woven = [getattr(parts[j % world], domain)[j // world] for j in range(4)]
            assert same(woven, getattr(whole[i], domain))


def test_another_image_stands_in_for_a_broken_one(domains: tuple[Dataset, Dataset]) -> None:
    """A function of the position: whoever loads, and whether the broken one is still there."""
    usual = [make(domains, target=4)[i] for i in range(4)]
    source, target = domains
    target.paths[2].write_bytes(b"")
    whole = make(domains, target=4)
    for i in range(4):
        batch = whole[i]
        there = [s.path != target.paths[2] for s in usual[i].target]
        for before, now, kept in zip(usual[i].target, batch.target, there, strict=True):
            assert now.path != target.paths[2]
            assert not kept or same([before], [now])
        assert {(b.domain, b.place) for b in batch.broken} <= {("target", 2)}
        assert unpack(pack(batch)).broken == batch.broken
        shards = [make(domains, rank=r, world=2, target=4)[i] for r in range(2)]
        assert same([shards[j % 2].target[j // 2] for j in range(4)], batch.target)
        gone = target.select(np.arange(5) != 2)
        fewer = Batches(source, gone, 4, 4, 0, AUGMENT, AUGMENT, gone={"target": [2]})[i]
        assert same(fewer.target, batch.target)
        assert fewer.broken == []
    assert sum(len(whole[i].broken) for i in range(4))


def test_without_any_image_that_can_be_read(domains: tuple[Dataset, Dataset]) -> None:
    for path in domains[1].paths:
        path.write_bytes(b"")
    with pytest.raises(UserError, match="50 target images in a row cannot be read"):
        make(domains)[0]


def test_counts_that_cannot_be_met(domains: tuple[Dataset, Dataset]) -> None:
    with pytest.raises(UserError, match="3 source images per batch do not divide by 2 processes"):
        make(domains, world=2, source=3)
    with pytest.raises(UserError, match="no target images"):
        Batches(domains[0], None, 2, 2, 0, AUGMENT, AUGMENT)
    assert Batches(domains[0], None, 2, 0, 0, AUGMENT, AUGMENT)[0].target == []


def test_target_labels_are_taken_off(domains: tuple[Dataset, Dataset]) -> None:
    source = domains[0]
    assert Batches(source, source, 1, 1, 0, AUGMENT, AUGMENT)[0].target[0].objects is None
    kept = Batches(source, source, 1, 1, 0, AUGMENT, AUGMENT, target_labels=True)[0].target[0]
    assert kept.objects is not None


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loader_gives_the_same_for_any_number_of_workers(
    domains: tuple[Dataset, Dataset], workers: int
) -> None:
    batches = make(domains)
    loaded = list(batch_loader(batches, 3, 8, workers))
    assert len(loaded) == 5
    for i, batch in enumerate(loaded, start=3):
        assert same(batch.source, batches[i].source)
        assert same(batch.target, batches[i].target)


def test_endless_loader_survives_ctrl_c_in_workers_and_ends_with_them(
    domains: tuple[Dataset, Dataset],
) -> None:
    loader = batch_loader(make(domains), 0, None, 1)
    next(loader)
    children = multiprocessing.active_children()
    assert children
    for child in children:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)
    for _ in range(20):
        next(loader)
    loader.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_error_in_a_worker_keeps_its_one_line(
    domains: tuple[Dataset, Dataset], workers: int
) -> None:
    for path in domains[1].paths:
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=str(domains[1].paths[0].parent)) as error:
        for _ in batch_loader(make(domains), 0, 5, workers):
            pass
    assert "\n" not in str(error.value)


def test_pack_and_unpack(domains: tuple[Dataset, Dataset]) -> None:
    batch = make(domains)[0]
    empty = Sample(torch.zeros(3, 4, 5, dtype=torch.uint8), Path("x"), "x", None)
    assert batch.source[0].objects is not None
    batch.source.append(empty)
    batch.source[0].objects.has_mask[:] = False
    batch.source[0].objects.masks = no_masks(
        len(batch.source[0].objects), *batch.source[0].image.shape[1:]
    )
    back = unpack(pack(batch))
    assert same(back.source, batch.source)
    assert same(back.target, batch.target)
    assert unpack(pack(Batch([]))).source == []


def test_derive_seed() -> None:
    seeds = {
        derive_seed(s, d, p) for s in range(5) for d in ("source", "target") for p in range(50)
    }
    assert len(seeds) == 500
    assert all(0 <= s < 2**63 for s in seeds)
    assert derive_seed(0, "source", 1) == 8525971954540435546


def test_same_images(domains: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    source, target = domains
    assert same_images(source, target) == []
    assert len(same_images(source, source)) == 7
    shutil.copytree(tmp_path / "source" / "images", tmp_path / "copy")
    assert len(same_images(source, open_images(tmp_path / "copy"))) == 7
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(source.paths[0])
    assert same_images(source, open_images(tmp_path / "links")) == [
        (str(source.paths[0]), str(tmp_path / "links" / "a.png"))
    ]


def test_a_batch_has_one_size_and_batches_differ(domains):
    augment = Augmentation(40, 80, sizes=(0.5, 1.5))
    batches = Batches(*domains, 4, 2, 0, augment, augment)
    sizes = []
    for index in range(6):
        batch = batches[index]
        sides = {min(s.image.shape[-2:]) for s in (*batch.source, *batch.target)}
        assert len(sides) == 1
        sizes += sides
    assert len(set(sizes)) > 3
    assert min(sizes) >= 20
    assert max(sizes) <= 60


def test_bits_unpacked_as_a_gpu_does():
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(shifted_bits(stored), unpacked_bits(stored))
    assert shifted_bits(stored[:0]).shape == (0,)

"""A GPU whose memory does not hold a batch, played by a CPU that refuses large ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detector_cases import TINY

from dmaskrcnn.config.schedule import Phase
from dmaskrcnn.data import Annotations, Batch, open_dataset, open_images
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.parts.distillation import View
from dmaskrcnn.methods.parts.losses import Losses
from dmaskrcnn.methods.parts.thresholds import START
from dmaskrcnn.training.inputs import make_batches
from dmaskrcnn.training.loop import step
from dmaskrcnn.training.memory import Parts, split
from dmaskrcnn.training.state import TrainingState


def batch_of(source: int, target: int = 0) -> Batch:
    def samples(count: int) -> list[Sample]:
        return [Sample(torch.zeros(3, 8, 8), Path(str(i)), i) for i in range(count)]

    return Batch(samples(source), samples(target))


def memory_for(most: int, seen: list[int]) -> Any:
    """Work that fails on more than ``most`` images at once."""

    def work(batches: list[Batch]) -> int:
        seen.append(len(batches))
        for batch in batches:
            if len(batch.source) + len(batch.target) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return sum(len(batch.source) for batch in batches)

    return work


def test_parts_are_as_few_as_fit_and_stay(capsys: pytest.CaptureFixture[str]):
    parts, seen = Parts(), []
    assert parts.fitting([batch_of(12, 6)], memory_for(6, seen)) == 12
    assert seen == [1, 2, 3]
    assert parts.fitting([batch_of(12, 6)], memory_for(6, seen)) == 12
    assert seen[3:] == [3]
    said = capsys.readouterr().err
    assert said.count("out of memory") == 2
    assert "in 3 parts from now on, as with --accumulate 3" in said


@pytest.mark.parametrize("batch", [batch_of(1), batch_of(4, 3)])
def test_what_cannot_be_parted_stays_an_error(batch: Batch):
    with pytest.raises(torch.OutOfMemoryError):
        Parts().fitting([batch], memory_for(0, []))


def test_parts_have_all_images_once():
    parts = split(batch_of(4, 2), 2)
    assert [[s.image_id for s in p.source] for p in parts] == [[0, 1], [2, 3]]
    assert [[s.image_id for s in p.target] for p in parts] == [[0], [1]]


def test_gradients_are_those_of_the_whole_batch():
    """Where every image counts alike: all have as many anchors, RoIs and masks in the losses."""
    torch.manual_seed(0)
    detector = Detector(("car",), TINY).eval()
    no = torch.zeros(1, dtype=torch.bool)
    masks = torch.zeros(1, 64, 96, dtype=torch.bool)
    masks[0, 8:40, 8:40] = True
    objects = Annotations(
        torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([0]), masks, ~no, no, no.clone()
    )
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    whole = Batch([Sample(image, Path("x"), i, objects, seed=5) for i in range(4)])

    def gradients(batches: list[Batch]) -> list[torch.Tensor]:
        detector.zero_grad(set_to_none=True)
        for batch in batches:
            images = detector.normalise([s.image for s in batch.source])
            truth = [s.objects for s in batch.source if s.objects is not None]
            seeds = [s.seed for s in batch.source]
            losses = detector.losses(images, detector.features(images), truth, seeds)
            (torch.stack(list(losses.values())).sum() / len(batches)).backward()
        return [p.grad.clone() for p in detector.parameters() if p.grad is not None]

    for one, other in zip(gradients([whole]), gradients(split(whole, 2)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("by_itself", [False, True])
def test_thresholds_move_once_a_step(
    tiny: Any, hazy: Path, by_itself: bool, monkeypatch: pytest.MonkeyPatch
):
    """As in the whole batch, of which every picture has another score; also where memory ran out
    after a part of it was seen."""
    monkeypatch.setattr("dmaskrcnn.methods.parts.distillation.pseudo_labels", _one_per_picture)
    source, target = open_dataset(tiny().source[0]), open_images(hazy)

    def moved(take: Any) -> torch.Tensor:
        config = tiny(method="teacher", target=(hazy,), burn_in=0.0, batch=4)
        state = TrainingState(config, source, target, torch.device("cpu"))
        whole = make_batches(config, source, target)[0]
        state.enter(config.phases[0])
        take(state, whole, config.phases[0])
        return state.method.state()["thresholds"]

    def at_once(state: TrainingState, whole: Batch, phase: Phase) -> None:
        step(state, [whole], phase, 0.5)

    def parted(state: TrainingState, whole: Batch, phase: Phase) -> None:
        step(state, split(whole, 4), phase, 0.5)

    def full(state: TrainingState, whole: Batch, phase: Phase) -> None:
        losses = state.method.losses

        def limited(batch: Batch, progress: float) -> Losses:
            found = losses(batch, progress)
            if len(batch.source) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return found

        monkeypatch.setattr(state.method, "losses", limited)
        step(state, [whole], phase, 0.5)
        assert state.parts.count == 4

    expected = moved(at_once)
    assert not torch.equal(expected, torch.full_like(expected, START))
    torch.testing.assert_close(moved(full if by_itself else parted), expected)


def _one_per_picture(
    teacher: Detector, view: View, thresholds: torch.Tensor
) -> tuple[list[Annotations], list[torch.Tensor]]:
    """A candidate in each picture, as sure as the picture is bright."""
    found, scores = [], []
    for picture, (height, width) in zip(view.images.tensors, view.images.image_sizes, strict=True):
        no, box = torch.zeros(1, dtype=torch.bool), torch.tensor([[8.0, 8, 40, 40]])
        masks = torch.zeros(1, height, width, dtype=torch.bool)
        found.append(Annotations(box, torch.tensor([0]), masks, no, no.clone(), no.clone()))
        scores.append(picture.mean()[None].sigmoid())
    return found, scores

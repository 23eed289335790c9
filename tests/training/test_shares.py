"""Whatever the method and the start, two processes learn what one does, also where one of them got
a share without objects, masks or pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from signalled import FORKING
from torch import Tensor
from torch.multiprocessing.spawn import start_processes

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Annotations, Batch, Sample, open_dataset, open_images
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.distributed import rank, world_size
from dmaskrcnn.methods.parts.distillation import View
from dmaskrcnn.training.loop import step, train
from dmaskrcnn.training.state import TrainingState

# Process 1 of 2 gets every second picture of a batch, of which these kinds say what it has.
ALL, NO_OBJECTS, NO_MASKS, UNLABELLED = "all", "no objects", "no masks", "unlabelled"
BURN_IN = [("burn-in", ALL, None), ("adapt", ALL, UNLABELLED)]
# method and options; of each step the phase and the kinds of source and target
CASES: dict[str, tuple[dict[str, Any], Sequence[tuple[str, str, str | None]]]] = {
    "source": ({"method": "source"}, [("train", NO_OBJECTS, None)]),
    "masks": ({"method": "source"}, [("train", NO_MASKS, None)]),
    "scratch": ({"method": "source", "weights": "scratch"}, [("train", NO_OBJECTS, None)]),
    "grl-scratch": ({"weights": "scratch"}, [("adapt", NO_OBJECTS, UNLABELLED)]),
    "image": ({}, [("classifier", ALL, UNLABELLED), ("adapt", NO_OBJECTS, UNLABELLED)]),
    "instance": ({"grl_on": "instance"}, [("adapt", NO_OBJECTS, UNLABELLED)]),
    "both": ({"grl_on": "both"}, [("adapt", NO_MASKS, UNLABELLED)]),
    "teacher": ({"method": "teacher"}, [("adapt", NO_OBJECTS, UNLABELLED)]),
    "align": (
        {"method": "teacher", "align": True, "grl_on": "both", "burn_in": 0.25},
        [*BURN_IN, BURN_IN[1]],
    ),
    "labels": ({"method": "teacher", "pseudo_labels": "x"}, [("adapt", ALL, NO_OBJECTS)]),
    "boxes": ({"method": "teacher", "pseudo_labels": "x"}, [("adapt", ALL, NO_MASKS)]),
    "oracle": ({"method": "oracle"}, [("train", ALL, NO_OBJECTS)]),
}


def test_two_processes_learn_what_one_does(tiny, clear, hazy, tmp_path):
    base = train(tiny(method="source", iterations=2, name="base"))
    configs = {
        name: tiny(
            **{"optimizer": "sgd", "warmup": 0, "lr": 1e-2, "weights": str(base), "target": (hazy,)}
            | ({"target": ()} if options.get("method") == "source" else {})
            | {"iterations": 600}
            | options
        )
        for name, (options, _) in CASES.items()
    }
    arguments = (configs, clear, hazy, tmp_path)
    start_processes(_process, arguments, nprocs=2, start_method=FORKING.get_start_method())
    wrong = {}
    for name, config in configs.items():
        one, two = _learn(name, config, clear, hazy), torch.load(tmp_path / name)
        assert one.keys() == two.keys(), name
        errors = {
            key: float((value - two[key]).float().norm() / value.float().norm().clamp(min=1e-6))
            for key, value in one.items()
            if value.numel()
        }
        worst = max(errors, key=lambda key: errors[key])
        # Rounding grows from layer to layer where BatchNorm meets random weights.
        if errors[worst] > 1e-2:
            wrong[name] = (worst, errors[worst])
    assert not wrong


def _process(
    number: int, configs: dict[str, TrainConfig], clear: Path, hazy: Path, folder: Path
) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=2)
    for name, config in configs.items():
        learnt = _learn(name, config, clear, hazy)
        if rank() == 0:
            torch.save(learnt, folder / name)
    dist.destroy_process_group()


def _learn(name: str, config: TrainConfig, clear: Path, hazy: Path) -> dict[str, Tensor]:
    """All numbers that the steps of a case tell, and all that they change."""
    state = TrainingState(config, open_dataset(clear), open_images(hazy), torch.device("cpu"))
    phases = {phase.name: phase for phase in state.schedule.phases}
    learnt: dict[str, Tensor] = {}
    for number, (phase, source, target) in enumerate(CASES[name][1]):
        # twice as many of the source: a domain counts as much as the other all the same
        whole = Batch(_pictures(4, source), _pictures(2, target, seed=10) if target else [])
        batch = Batch(*(p[rank() :: world_size()] for p in (whole.source, whole.target)))
        state.enter(phases[phase])
        with patch("dmaskrcnn.methods.parts.distillation.pseudo_labels", _seen_in_bright_pictures):
            values = step(state, [batch], phases[phase], progress=0.5)
        learnt |= {f"{number}: {key}": torch.tensor(value) for key, value in values.items()}
    for key, parameter in state.learner.named_parameters():
        if parameter.grad is not None:
            learnt[f"gradient of {key}"] = parameter.grad
    assert state.ema is not None
    learnt |= {f"average of {key}": v for key, v in state.ema.state_dict().items()}
    if "thresholds" in (remembered := state.method.state()):
        learnt["thresholds"] = remembered["thresholds"]
    return learnt


def _pictures(count: int, kind: str, seed: int = 0) -> list[Sample]:
    """Noise in two sizes; every second picture is dark, and is of the kind."""
    made = []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed + number)
        dark, width = number % 2 == 1, 96 - 16 * (number // 2)
        image = torch.randint(0, 60 if dark else 256, (3, 64, width), generator=generator)
        objects = None if kind == UNLABELLED else _objects(width, ALL if not dark else kind)
        if kind == NO_MASKS and number == 0:  # in a share that has some, one lacks them, too
            objects = _objects(width, NO_MASKS)
        made.append(Sample(image.to(torch.uint8), Path("x"), number, objects, seed + number))
    return made


def _objects(width: int, kind: str) -> Annotations:
    if kind == NO_OBJECTS:
        return Annotations.empty(64, width)
    boxes = torch.tensor([[8.0, 8, 40, 40], [30, 20, 62, 60]])
    masks = torch.zeros(2, 64, width, dtype=torch.bool)
    if kind != NO_MASKS:
        masks[0, 8:40, 8:40] = masks[1, 30:60, 30:60] = True
    no = torch.zeros(2, dtype=torch.bool)
    return Annotations(boxes, torch.tensor([0, 1]), masks, masks.flatten(1).any(1), no, no.clone())


def _seen_in_bright_pictures(
    teacher: Detector, view: View, thresholds: Tensor
) -> tuple[list[Annotations], list[Tensor]]:
    found = [
        _objects(width, NO_MASKS if picture.mean() > 0 else NO_OBJECTS)
        for picture, (_, width) in zip(view.images.tensors, view.images.image_sizes, strict=True)
    ]
    return found, [torch.full((len(objects),), 0.7) for objects in found]

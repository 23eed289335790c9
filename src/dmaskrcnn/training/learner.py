"""What learns in a training: the networks of a method as one module, their optimiser, and the
moving average of the detector."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch
from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.methods.base import Method
from dmaskrcnn.methods.parts.losses import Losses


class Learner(nn.Module):
    """The networks of a method as children of one module, which is what `DistributedDataParallel`,
    checkpoints and ``to(device)`` want. A method itself is no module."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        self.detector = method.detector
        self.classifier = method.classifier

    def forward(self, batch: Batch, progress: float) -> Losses:
        """The method's losses."""
        return self.method.losses(batch, progress)

    def clip(self, config: TrainConfig) -> dict[str, Tensor]:
        """Clip the detector's and the classifier's gradient each by its own norm, so that neither
        stops the other; their norms before clipping."""
        norms = {}
        for name, module, limit in (
            ("detector", self.detector, config.clip),
            ("classifier", self.classifier, config.classifier_clip),
        ):
            parameters = [p for p in module.parameters() if p.grad is not None] if module else []
            if parameters:
                norms[name] = nn.utils.clip_grad_norm_(parameters, limit)
        return norms

    def optimizer(self, config: TrainConfig) -> torch.optim.Optimizer:
        """SGD or AdamW; each group remembers its ``base_lr``, on which the schedule is a factor."""
        groups = []
        for module, factor in ((self.detector, 1.0), (self.classifier, config.classifier_lr)):
            parameters = [p for p in module.parameters() if p.requires_grad] if module else []
            for decay, members in (
                (config.weight_decay, [p for p in parameters if p.dim() > 1]),
                # Biases and norms have nothing to gain from being small.
                (0.0, [p for p in parameters if p.dim() <= 1]),
            ):
                if members:
                    rate = config.lr * factor
                    groups.append(
                        {"params": members, "lr": rate, "base_lr": rate, "weight_decay": decay}
                    )
        if config.optimizer == "sgd":
            return torch.optim.SGD(groups, momentum=0.9, fused=True)
        return torch.optim.AdamW(groups, fused=True)


def build(
    config: TrainConfig, classes: Sequence[str], device: torch.device, weights: str | None = None
) -> tuple[Learner, Detector | None]:
    """What learns, on the device, and the average of its weights where the training keeps one.
    ``weights`` to start from, where they are not the configuration's."""
    torch.manual_seed(config.seed)  # the same start in every process
    detector = Detector.create(classes, config.detector, weights or config.weights)
    method: Method = config.settings.build(detector)
    learner = Learner(method).to(device).train()
    detector.set_precision(config.precision)
    average = copy.deepcopy(detector).eval() if config.ema else None
    if average is not None:
        method.teacher = average
    return learner, average


@torch.no_grad()
def follow(average: Detector, detector: Detector, decay: float) -> None:
    """Move the exponential moving average towards the detector's weights."""
    move = get_ema_multi_avg_fn(decay)  # all at once
    move(list(average.parameters()), list(detector.parameters()), torch.tensor(1))
    # BatchNorm's statistics are averages already; a frozen one's stay
    for mean, other in zip(average.modules(), detector.modules(), strict=True):
        if isinstance(other, nn.BatchNorm2d):
            for own, buffer in zip(mean.buffers(), other.buffers(), strict=True):
                own.copy_(buffer)


@torch.no_grad()
def copy_weights(source: Detector, target: Detector) -> None:
    """Let ``target`` go on from the weights of ``source``; its buffers are the same anyway."""
    for weight, other in zip(target.parameters(), source.parameters(), strict=True):
        weight.copy_(other)

"""`grl`: DMask R-CNN. A domain classifier on the FPN, and a reversed gradient that makes the features of both domains alike.

``L = L_det(source) + L_dom(source and target)``; the reversal multiplies the gradient of ``L_dom`` by ``-lambda`` on its way
into the FPN, while the classifier itself follows it (arXiv 1807.00202, section 3; Ganin and Lempitsky, ICML 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from ..config import TrainConfig
from ..data.sample import Batch
from ..detector import Detector
from ..domain import CLASSIFIERS, LEVELS, LN2, DivergenceGuard, Reversal, domain_loss, ramp
from ..rcnn import Features, run_network
from .base import Method


class GRL(Method):
    """Adversarial alignment of the FPN's features, image by image."""

    explanation = (
        f"a domain loss near {LN2:.2f} (ln 2) with an accuracy near 50 % means that the classifier cannot tell "
        "hazy features from clear ones: that is the aim, not an error"
    )

    def __init__(self, config: TrainConfig, detector: Detector) -> None:
        super().__init__(config, detector)
        self.domain = CLASSIFIERS[str(config.classifier)](detector.config.fpn_channels)
        self.factor, self.ramp, self.gate = config.grl_lambda, config.grl_ramp, config.grl_reverse == "gated"
        self.guard = DivergenceGuard()

    @property
    def classifier(self) -> torch.nn.Module:
        """The domain classifier."""
        return self.domain

    def forward(self, batch: Batch, progress: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Detection losses of the source half and the domain loss of both; the latter alone while the detector is frozen."""
        detector, samples = self.detector, [*batch.source, *batch.target]
        images = detector.normalise([s.image for s in samples])
        adapting = any(p.requires_grad for p in detector.parameters())
        with torch.set_grad_enabled(adapting):
            features = detector.features(images)  # one pass for both domains: they share their padded size

        # Split rather than slice: the gradients of both halves are then joined once, instead of padded with zeros and added.
        counts = [len(batch.source), len(batch.target)]
        halves = [
            dict(zip(features, maps, strict=True)) for maps in zip(*(f.split(counts) for f in features.values()), strict=True)
        ]

        factor = self.factor * (ramp(progress) if self.ramp else 1.0)
        loss, accuracy = self._domain_loss(halves, images.image_sizes, factor)
        logs = {"domain_accuracy": accuracy, "lambda": torch.tensor(factor)}
        if not adapting:
            return {"loss_domain": loss}, logs
        images = ImageList(images.tensors[: counts[0]], images.image_sizes[: counts[0]])
        objects = [s.objects.to(detector.device) for s in batch.source if s.objects is not None]
        return detector.losses(images, halves[0], objects, [s.seed for s in batch.source]) | {"loss_domain": loss}, logs

    def _domain_loss(self, halves: Sequence[Features], sizes: list[tuple[int, int]], factor: float) -> tuple[Tensor, Tensor]:
        """The loss of both domains and the accuracy; on its way back into the features the gradient is reversed."""
        losses, hits = [], []
        for domain, features in enumerate(halves):
            count = len(features[LEVELS[0]])
            if not count:
                continue
            here = sizes[:count] if domain == 0 else sizes[-count:]
            reversal = Reversal(factor)
            logits = run_network(self.domain, [reversal(features[level]) for level in LEVELS], here, dtype=self.detector.dtype)
            truth = torch.full((count,), domain, dtype=torch.int64, device=self.detector.device)
            loss, accuracy = domain_loss(logits, truth, here)
            if self.gate:
                # Beyond chance there is nothing to gain: an image that already fools the classifier is pushed no further.
                # Without this the features can raise the loss without end, which is how the training diverges.
                reversal.factor = factor * (loss.detach() < LN2)
            losses.append(loss)
            hits.append(accuracy)
        return torch.cat(losses).mean(), torch.cat(hits).mean()

    def watch(self, values: dict[str, float]) -> None:
        """Stop before detection is destroyed."""
        if "loss_objectness" in values:
            detection = sum(v for k, v in values.items() if k.startswith("loss_") and k != "loss_domain")
            self.guard.watch(values["loss_domain"], detection)

    def watch_state(self) -> dict[str, Any]:
        """The guard's averages."""
        return dict(self.guard.state)

    def load_watch_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``watch_state``."""
        self.guard.state.update(state)

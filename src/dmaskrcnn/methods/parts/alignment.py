"""Adversarial alignment of a detector's features: reversed gradients of domain classifiers on
images and on instances.

On images: a classifier on P2-P5, the original's or one per level (`classifiers`). On instances: a
classifier on the box head's vector of every proposal. With the consistency of the two these are the
components of Domain Adaptive Faster R-CNN (Chen et al., CVPR 2018, sections 4.2 and 4.3), in which
features go against the classifiers, but with their consistency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.detector.precision import run_network
from dmaskrcnn.detector.pyramid import Features
from dmaskrcnn.detector.sampling import normaliser
from dmaskrcnn.methods.parts.alignment_settings import AlignmentSettings
from dmaskrcnn.methods.parts.classifiers import (
    CLASSIFIERS,
    InstanceClassifier,
    consistency,
    domain_loss,
)
from dmaskrcnn.methods.parts.guard import LN2, DivergenceGuard
from dmaskrcnn.methods.parts.losses import Losses, column
from dmaskrcnn.methods.parts.reversal import Reversal, ramp

# Proposals per image that the instance classifier sees, best first: half of the RoIs that the
# preset `cpu` samples, so that few are background. Chosen, not measured.
INSTANCES = 32
# Averaged domain loss in nats below which the classifier has won: right with 98 % on average, its
# gradient, one minus that, says next to nothing.
FOOLED = 0.02
# Iterations before that is said: a classifier from nothing needs about as many to learn at all.
PATIENCE = 200
# The losses of the classifiers: what the progress line calls them, and their accuracy's name.
CLASSIFIED = {
    "alignment/domain": ("domain", "domain_accuracy"),
    "alignment/instance": ("domain instance", "instance_accuracy"),
}


class Alignment(nn.Module):
    """The domain classifiers of a detector, their losses, and the watch over them.

    Args:
        settings: which classifiers, lambda, whether gradients are gated.
        detector: for the widths of its features.
    """

    def __init__(self, settings: AlignmentSettings, detector: Detector) -> None:
        super().__init__()
        self.image = self.instance = None
        if settings.grl_on != "instance":
            self.image = CLASSIFIERS[settings.classifier](detector.levels)
        if settings.grl_on != "image":
            self.instance = InstanceClassifier(detector.config.box_head_width)
        self.factor, self.ramp, self.gate = (
            settings.grl_lambda,
            settings.grl_ramp,
            settings.grl_reverse == "gated",
        )
        self.guard = DivergenceGuard()
        self.won = {"seen": 0, "loss": LN2, "warned": False}

    def forward(
        self,
        detector: Detector,
        halves: Sequence[Features],
        sizes: Sequence[Sequence[tuple[int, int]]],
        progress: float,
    ) -> Losses:
        """The losses of alignment, and logs. Gradients of the domain losses are reversed on their
        way into the features, that of the consistency is not; all are scaled by lambda there.

        Each is a mean over the images (proposals) of a domain, and then of the two: ln 2 is what a
        classifier gets that cannot tell, whatever the number of images of each.

        Args:
            detector: whose features these are.
            halves: the features of the source images and of the target images.
            sizes: of each half the (H, W) of its images inside the padded batch.
            progress: share of the schedule that is done, in [0, 1], for the ramp of lambda.
        """
        factor = self.factor * (ramp(progress) if self.ramp else 1.0)
        domains = [
            self._one_domain(detector, features, here, domain, factor)
            for domain, (features, here) in enumerate(zip(halves, sizes, strict=True))
        ]
        (clear, first), (hazy, second) = domains
        losses = {name: (loss + hazy[name]) / 2 for name, loss in clear.items()}
        logs = {name: (value + second[name]) / 2 for name, value in first.items()}
        return Losses(alignment=losses, logs=logs | {"lambda": torch.tensor(factor)})

    def _one_domain(
        self,
        detector: Detector,
        features: Features,
        sizes: Sequence[tuple[int, int]],
        domain: int,
        factor: float,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Mean losses and accuracies of images that are all of one domain."""
        losses: dict[str, Tensor] = {}
        accuracies: dict[str, Tensor] = {}
        if self.image is not None:
            reversal = Reversal(factor)
            logits = _image_logits(self.image, detector, features, sizes, reversal)
            truth = torch.full((len(sizes),), domain, dtype=torch.int64, device=detector.device)
            loss, accuracy = domain_loss(logits, truth, sizes, detector.levels)
            self._gate(reversal, loss, factor)
            losses["domain"], accuracies["domain_accuracy"] = loss.mean(), accuracy.mean()
        if self.instance is not None:
            reversal = Reversal(factor)
            rois, vectors = _instances(detector, features, sizes)
            # as many as NMS left, which differs between processes
            count = normaliser(len(vectors), detector.device)
            found = run_network(self.instance, reversal(vectors), dtype=detector.dtype)
            truth = torch.full((len(found),), domain, dtype=torch.int64, device=detector.device)
            loss = F.cross_entropy(found, truth, reduction="none")
            self._gate(reversal, loss, factor)
            losses["instance"] = loss.sum() / count
            accuracies["instance_accuracy"] = (found.argmax(1) == truth).sum() / count
            if self.image is not None:
                # once more, past no reversal: features are to make the verdicts agree
                along = Reversal(-factor)
                logits = _image_logits(self.image, detector, features, sizes, along)
                found = run_network(self.instance, along(vectors), dtype=detector.dtype)
                counts = [len(boxes) for boxes in rois]
                distance = consistency(logits, sizes, found, counts, detector.levels)
                losses["consistency"] = distance.sum() / count
        return losses, accuracies

    def _gate(self, reversal: Reversal, loss: Tensor, factor: float) -> None:
        # Beyond chance there is nothing to gain: what already fools the classifier is pushed no
        # further. Without this the features can raise the loss without end, which is how the
        # training diverges.
        if self.gate:
            reversal.factor = factor * (loss.detach() < LN2)

    def watch(self, values: Mapping[str, float]) -> str | None:
        """Stop before detection is destroyed; warn, once, when a classifier tells the domains apart
        without fail."""
        domain = [values[name] for name in CLASSIFIED if name in values]
        detection = column(values, "detection")
        if not domain or detection is None:
            return None
        self.guard.watch(max(domain), detection)
        state = self.won
        state["seen"] += 1
        state["loss"] += (min(domain) - state["loss"]) / min(state["seen"], 50)
        if state["seen"] < PATIENCE or state["warned"] or state["loss"] > FOOLED:
            return None
        state["warned"] = True
        return (
            "the domain classifier tells the domains apart without fail (loss "
            f"{state['loss']:.3f}), so the features do not "
            "become alike: raise --grl-lambda or lower --classifier-lr"
        )

    def status(self, values: Mapping[str, float]) -> str:
        """The losses of the classifiers, with their accuracies, for the progress line."""
        return "".join(
            f", {said} {values[name]:.2f}, accuracy {100 * values[accuracy]:.0f} %"
            for name, (said, accuracy) in CLASSIFIED.items()
            if name in values
        )

    def state(self) -> dict[str, Any]:
        """The running means behind ``watch``."""
        return {"guard": dict(self.guard.state), "won": dict(self.won)}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.guard.state.update(state["guard"])
        self.won.update(state["won"])


def _image_logits(
    classifier: nn.Module,
    detector: Detector,
    features: Features,
    sizes: Sequence[tuple[int, int]],
    reversal: Reversal,
) -> list[Tensor]:
    maps = [reversal(features[level.name]) for level in detector.levels]
    return run_network(classifier, maps, sizes, dtype=detector.dtype)


def _instances(
    detector: Detector, features: Features, sizes: Sequence[tuple[int, int]]
) -> tuple[list[Tensor], Tensor]:
    """The best proposals per image, and the box head's vector of each: ``(R, width)``."""
    finest = detector.levels[0]
    maps = features[finest.name]
    # for its shape alone: anchors are laid over the padded batch
    height, width = (finest.stride * s for s in maps.shape[-2:])
    images = ImageList(maps.new_empty(len(sizes), 3, height, width), list(sizes))
    with torch.no_grad():
        proposals = detector.rpn.propose(detector.rpn.outputs(images, features), sizes)
    rois = [boxes[:INSTANCES] for boxes in proposals.per_image()]
    pooled = detector.roi_heads.box_roi_pool(features, rois, list(sizes))
    return rois, run_network(detector.roi_heads.box_head, pooled, dtype=detector.dtype)

"""Domain classifiers on the feature pyramid and on proposals, and their loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmaskrcnn.detector.pyramid import Level


def consistency(
    image: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    instance: Tensor,
    counts: Sequence[int],
    levels: Sequence[Level],
) -> Tensor:
    """How far the verdict on each proposal is from the mean verdict on its image (Chen et al. 2018,
    section 4.3).

    Args:
        image: logits of an image classifier: one ``(N, 2)``, or ``(N, 2, h, w)`` per level.
        sizes: (H, W) of each image inside the padded batch.
        instance: logits ``(R, 2)`` of the proposals, image by image.
        counts: the proposals of each image.
        levels: of the detector.

    Returns:
        Distance of the probabilities of "target", float32 ``(R,)`` in [0, 1].
    """
    verdicts = []
    for logit, level in zip(image, levels, strict=False):  # a joint verdict is of no level
        probability = logit.float().softmax(1)[:, 1]
        if probability.dim() > 1:  # the padding's verdict counts for nothing
            probability = torch.stack(
                [level.crop(p, size).mean() for p, size in zip(probability, sizes, strict=True)]
            )
        verdicts.append(probability)
    counted = torch.tensor(counts, device=instance.device)
    mean = torch.stack(verdicts).mean(0).repeat_interleave(counted)
    return (mean - instance.float().softmax(1)[:, 1]).abs()


class PaperClassifier(nn.Module):
    """The original's domain classifier: one joint decision per image from all levels, P2-P5 (arXiv
    1807.00202, released code).

    Each level has a branch of four 128-channel convolutions with ReLU, of which the last 4, 3, 2, 1
    (P2, P3, P4, P5) are "2x2 convolution + 2x2 max-pool" and the others 1x1 without pooling, then
    one more 1x1. The branches end at 16x16x128 on a 1024x1024 canvas; for any other image an
    adaptive average pool gives that size (the identity on 1024x1024). Each is flattened and mapped
    to 128, concatenated to 512, then 512 -> 512 -> 128 -> 2 logits.

    Args:
        levels: of the detector. P2-P5 with 256 channels, as in the original, make 18,042,754
            parameters.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        # as often as brings a map of the canvas, 1024 / stride wide, to 16
        pooled = [min(4, max(0, round(math.log2(64 / level.stride)))) for level in levels]
        self.branches = nn.ModuleList(
            self._branch(level.channels, count) for level, count in zip(levels, pooled, strict=True)
        )
        self.embed = nn.ModuleList(nn.Linear(16 * 16 * 128, 128) for _ in levels)
        self.joint = nn.Sequential(
            nn.Linear(len(levels) * 128, 512),
            nn.ReLU(),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Linear(128, 2),
        )

    @staticmethod
    def _branch(channels: int, pooled: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for stage in range(4):
            inputs = channels if stage == 0 else 128
            if stage < 4 - pooled:
                layers += [nn.Conv2d(inputs, 128, 1), nn.ReLU()]
            else:  # "same" padding of an even kernel adds one row below and one column right
                layers += [
                    nn.ZeroPad2d((0, 1, 0, 1)),
                    nn.Conv2d(inputs, 128, 2),
                    nn.ReLU(),
                    nn.MaxPool2d(2, ceil_mode=True),
                ]
        return nn.Sequential(*layers, nn.Conv2d(128, 128, 1), nn.ReLU())

    def forward(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Logits of (source, target).

        Args:
            features: the maps of the levels, each float ``(N, C, h, w)``.
            sizes: (H, W) in pixels of each of the N images inside the padded batch.

        Returns:
            One tensor ``(N, 2)``: a list, because other classifiers decide per level.
        """
        embedded = []
        for feature, level, branch, embed in zip(
            features, self.levels, self.branches, self.embed, strict=True
        ):
            pooled = [
                F.adaptive_avg_pool2d(branch(level.crop(f, s)[None]), 16)
                for f, s in zip(feature, sizes, strict=True)
            ]
            embedded.append(F.relu(embed(torch.cat(pooled).flatten(1))))
        return [self.joint(torch.cat(embedded, 1))]


class FCNClassifier(nn.Module):
    """A fully convolutional classifier per level, deciding at every position: far fewer parameters,
    any image size.

    Per level 1x1 convolutions C -> C/2 -> 2 with ReLU: the patch-wise image-level head of Chen et
    al. (CVPR 2018, section 4.2), one for each level. Every feature vector is normalised first
    (zero mean and unit variance over its channels): the detector cannot win by making its features
    large, which is how adversarial training diverges.

    Args:
        levels: of the detector.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(self._head(level.channels) for level in levels)

    @staticmethod
    def _head(channels: int) -> nn.Sequential:
        hidden = channels // 2
        return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 2, 1))

    def forward(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Logits of (source, target) at every position of every level: a tensor ``(N, 2, h,
        w)`` each.

        Positions in the padding are NaN-free but meaningless; ``domain_loss`` leaves them out.
        """
        return [
            head(_normalise(feature)) for head, feature in zip(self.heads, features, strict=True)
        ]


def _normalise(x: Tensor) -> Tensor:
    """``(N, C, H, W)`` with zero mean and unit variance over C at every position."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


class InstanceClassifier(nn.Sequential):
    """A classifier of single proposals: fully connected, D -> D/4 -> 2 with ReLU on normalised
    vectors.

    The instance-level head of Chen et al. (CVPR 2018, section 4.2), with fewer weights and without
    dropout.

    Args:
        width: D, of the box head.
    """

    def __init__(self, width: int) -> None:
        hidden = max(2, width // 4)
        super().__init__(
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2),
        )


CLASSIFIERS = {"paper": PaperClassifier, "fcn": FCNClassifier}


def domain_loss(
    logits: Sequence[Tensor],
    domains: Tensor,
    sizes: Sequence[tuple[int, int]],
    levels: Sequence[Level],
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the domain label and the classifier's accuracy, per image.

    A dense decision counts as the mean over the positions that show the image; several levels as
    their mean.

    Args:
        logits: from a classifier: one ``(N, 2)``, or ``(N, 2, h, w)`` per level.
        domains: int64 ``(N,)``, 0 = source, 1 = target.
        sizes: (H, W) of each image inside the padded batch.
        levels: of the detector.

    Returns:
        The loss (ln 2 when the domains cannot be told apart) and the detached accuracy in [0, 1],
        float32 ``(N,)`` each.
    """
    losses, hits = [], []
    for logit, level in zip(logits, levels, strict=False):  # a joint decision is of no level
        truth = domains.view(-1, *[1] * (logit.dim() - 2)).expand(len(domains), *logit.shape[2:])
        loss = F.cross_entropy(logit.float(), truth, reduction="none")
        hit = (logit.argmax(1) == truth).float()
        if logit.dim() == 4:  # leave the padding out
            inside = torch.zeros_like(hit)
            for row, size in zip(inside, sizes, strict=True):
                level.crop(row, size)[:] = 1
            count = inside.sum((1, 2))
            loss, hit = ((v * inside).sum((1, 2)) / count for v in (loss, hit))
        losses.append(loss)
        hits.append(hit)
    return torch.stack(losses).mean(0), torch.stack(hits).mean(0).detach()

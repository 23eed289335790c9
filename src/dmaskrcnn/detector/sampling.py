"""Which anchors and RoIs enter the losses, and what their sums are divided by.

Random numbers are a function of the image's seed and the candidate's number, the same on every
device, and counts are averaged over all processes: the result depends on neither the companions of
an image nor on how many processes share a batch. All shapes are fixed beforehand, so that a GPU is
never waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dmaskrcnn.distributed import average, world_size

# not drawn: above every key
LAST = torch.iinfo(torch.int64).max


def normaliser(count: int | Tensor, device: torch.device) -> Tensor:
    """The mean over ranks of a count, of which all together have at least one: dividing each rank's
    sum by it makes the mean of the ranks' losses the global loss.

    A collective: every rank calls it, also one that counts nothing.
    """
    counted = torch.as_tensor(count, dtype=torch.float32, device=device).clone()
    return average(counted).clamp(min=1 / world_size())


@dataclass
class Sampled:
    """The candidates drawn in each of N images, in columns of which some stay empty.

    Attributes:
        index: int64 ``(N, K)``, candidates; in the first ``positives`` columns positive ones, in
            the others negative ones.
        valid: bool ``(N, K)``: whether the column holds one.
        positives: columns of positives.
    """

    index: Tensor
    valid: Tensor
    positives: int


def sample_balanced(
    labels: Tensor, count: int, positive_share: float, seeds: Sequence[int]
) -> Sampled:
    """Draw at most ``count`` candidates of each image, at most ``positive_share`` of them positive
    (Faster R-CNN, section 3.1.3).

    Args:
        labels: ``(N, A)``: > 0 positive, 0 negative, < 0 ignored.
        count: per image.
        positive_share: in [0, 1].
        seeds: one per image.
    """
    candidates = labels.shape[1]
    keys = random_keys(seeds, candidates, labels.device)
    positive = min(int(count * positive_share), candidates)
    first, positives = keys.masked_fill(labels <= 0, LAST).topk(positive, largest=False)
    drawn = first < LAST
    left = count - drawn.sum(1, keepdim=True)
    second, negatives = keys.masked_fill(labels != 0, LAST).topk(
        min(count, candidates), largest=False
    )
    place = torch.arange(second.shape[1], device=labels.device)
    valid = torch.cat((drawn, (second < LAST) & (place < left)), 1)
    return Sampled(torch.cat((positives, negatives), 1), valid, positive)


def random_keys(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Random numbers int64 ``(N, count)`` in [0, 2⁶³ − 1), for each seed other ones: SplitMix64
    (Steele et al., OOPSLA 2014, figure 15) of seed and column."""
    start = torch.tensor([[_signed(seed)] for seed in seeds], device=device)
    # int64 arithmetic wraps around, as the generator's does
    mixed = start + torch.arange(1, count + 1, device=device) * _signed(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= (mixed >> shift) & (2 ** (64 - shift) - 1)  # the shift of unsigned numbers
        mixed *= _signed(factor)
    mixed ^= (mixed >> 31) & (2**33 - 1)
    return mixed.bitwise_and_(LAST).clamp_(max=LAST - 1)


def _signed(number: int) -> int:
    """The int64 of the same 64 bits."""
    return (number + 2**63) % 2**64 - 2**63

"""RoIAlign over a feature pyramid as one sparse matrix product.

torchvision's CPU RoIAlign knows only float32 and runs its backward on one thread: a third of a bf16
training step of Mask R-CNN R50-FPN. But every output bin is a weighted sum of pixels, so RoIAlign
is ``S @ F``: ``F`` holds the pixels of all levels as rows of C channels, ``S`` the bilinear
weights. ``embedding_bag`` computes such products on all cores, in the dtype of the features, with
float32 accumulation; the gradient is the same product with the transposed matrix. Measured on two
cores for 1024 boxes of 7 x 7 bins with 256 channels, forward and backward: torchvision 1.48 s, here
0.08 s in float32 and 0.035 s in bf16. On a GPU (H200, 2048 boxes) 4.0 ms instead of 5.8, and nobody
waits for the numbers of boxes per level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torchvision.ops import MultiScaleRoIAlign as TorchvisionMultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper


def _bilinear_taps(
    start: Tensor, length: Tensor, size: Tensor, bins: int, ratio: int
) -> tuple[Tensor, Tensor]:
    """Pixels, and their weights, that the bins of each RoI read along one axis.

    Args:
        start, length: (..., K) first edge and extent of the RoI in feature pixels.
        size: (..., K) int64, number of pixels of the axis.
        bins: number of output bins P.
        ratio: sampling points per bin.

    Returns:
        Pixel indices in [0, size), int64, and weights, both (..., K, P, 2 * ratio). The weights of
        a bin whose sampling points lie inside the map sum to 1; a point more than one pixel outside
        has weight 0, a point within that pixel reads the border.
    """
    bin_length = (length / bins)[..., None, None]
    bin_number = torch.arange(bins, device=start.device)[:, None]
    point = torch.arange(ratio, device=start.device) + 0.5
    position = start[..., None, None] + bin_number * bin_length + point * bin_length / ratio
    size = size[..., None, None]
    inside = (position >= -1) & (position <= size)
    position = torch.minimum(position.clamp(min=0), size - 1)
    # the clamp turns NaN into a valid index; its weight stays NaN
    low = position.long().clamp_(min=0)
    fraction = position - low
    index = torch.cat([low, torch.minimum(low + 1, size - 1)], dim=-1)
    share = inside / ratio
    weight = torch.cat([(1 - fraction) * share, fraction * share], dim=-1)
    return index, weight


def _sampling_matrix(
    rois: Tensor, size: Tensor, first_row: Tensor, bins: int, ratio: int
) -> tuple[Tensor, Tensor]:
    """The matrix ``S`` of RoIAlign (``aligned=False``), He et al. 2017, section 3, as torchvision
    samples it.

    Args:
        rois: (K, 4) xyxy in feature pixels of the level of each RoI.
        size: (K, 2) int64, width and height of that level.
        first_row: (K,) int64, row of ``F`` that holds pixel (0, 0) of the RoI's image there.
        bins: of the output, in each direction.
        ratio: sampling points per bin and axis.

    Returns:
        Columns, int64, and weights, both (K * bins**2, 4 * ratio**2): row i of ``S`` has
        ``weights[i]`` at ``columns[i]``.
    """
    first, last = rois.view(-1, 2, 2).unbind(1)
    # both axes at once: half of the launches
    taps_of_axes = _bilinear_taps(first.T, (last - first).clamp(min=1).T, size.T, bins, ratio)
    (x, y), (weight_x, weight_y) = taps_of_axes
    row = first_row[:, None, None] + y * size[:, 0, None, None]
    taps = 4 * ratio * ratio
    columns = row[:, :, None, :, None] + x[:, None, :, None, :]
    weights = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
    return columns.reshape(-1, taps), weights.reshape(-1, taps)


class _SparseProduct(torch.autograd.Function):
    """``S @ F`` for ``F`` given as feature maps; differentiable once, in the feature maps."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, weights: Tensor, *features: Tensor) -> Tensor:
        rows = torch.cat([f.permute(0, 2, 3, 1).reshape(-1, f.shape[1]) for f in features])
        weights = weights.to(rows.dtype)
        ctx.save_for_backward(columns, weights)
        ctx.shapes = [f.shape for f in features]
        return F.embedding_bag(columns, rows, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        columns, weights = ctx.saved_tensors
        lengths = [n * h * w for n, _, h, w in ctx.shapes]
        order, starts = _transposed(columns, sum(lengths))
        rows = F.embedding_bag(
            order // columns.shape[1],
            grad.contiguous(),
            starts,
            mode="sum",
            per_sample_weights=weights.flatten()[order],
            include_last_offset=True,
        )
        maps = (
            part.view(n, h, w, c).permute(0, 3, 1, 2)
            for part, (n, c, h, w) in zip(rows.split(lengths), ctx.shapes, strict=True)
        )
        return None, None, *maps


def _transposed(columns: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of ``S`` (its ``columns``, of which there are ``count``), the entries in the order of its
    columns, in each of these as they came, so that sums run in one order; and where each column
    begins, and the last one ends."""
    if columns.device.type != "cpu":
        ordered, order = columns.flatten().sort(stable=True)
        # bincount would wait for a GPU
        first = torch.arange(count + 1, device=columns.device)
        return order, torch.searchsorted(ordered, first)
    from scipy.sparse import csr_array  # a training needs it, a prediction does not

    # counts where the above sorts: a third of the time
    rows, taps = columns.shape
    entries = np.arange(columns.numel()), columns.numpy().ravel(), np.arange(rows + 1) * taps
    by_column = csr_array(entries, shape=(rows, count)).tocsc()
    return torch.from_numpy(by_column.data), torch.from_numpy(by_column.indptr).long()


class MultiScaleRoIAlign(TorchvisionMultiScaleRoIAlign):
    """Drop-in for ``torchvision.ops.MultiScaleRoIAlign``: the same arguments, the same result and
    gradient, faster, and much faster on a CPU.

    Features may be float32, bfloat16 or float16 (sums run in float32; the bilinear weights are
    rounded to the dtype of the features), best in channels_last, which is also the memory format of
    the result. Boxes stay float32. While tracing, with an adaptive ``sampling_ratio`` (not
    positive), or with more bins in one direction than in the other, torchvision's operator does the
    work, in float32.

    Args:
        strides: image pixels per feature pixel of every level. Without them they are inferred from
            the first call, as torchvision does, and wrongly where its images are much smaller than
            the padded batch they were cut from.
    """

    def __init__(self, *args: Any, strides: Sequence[int] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        if strides is not None:
            self._settle([1 / stride for stride in strides])

    def _settle(self, scales: list[float]) -> None:
        self.scales = scales
        k_min, k_max = (round(-math.log2(scale)) for scale in (scales[0], scales[-1]))
        self.map_levels = LevelMapper(k_min, k_max, self.canonical_scale, self.canonical_level)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Pool every box from its level of the pyramid (Lin et al. 2017, eq. 1).

        Args:
            x: feature maps by name, (N, C, H, W) each; those named in ``featmap_names`` are used,
                finest first.
            boxes: N tensors (K_i, 4), xyxy in image pixels, any K_i including 0.
            image_shapes: (height, width) of every image.

        Returns:
            (sum of K_i, C, \\*output_size) in the dtype of the features.
        """
        features = [feature for name, feature in x.items() if name in self.featmap_names]
        dtype = features[0].dtype
        tracing = torch.jit.is_tracing() or torch.compiler.is_compiling()  # pyright: ignore[reportPrivateImportUsage]
        if tracing or self.sampling_ratio <= 0 or len(set(self.output_size)) > 1:
            single = {name: feature.to(boxes[0].dtype) for name, feature in x.items()}
            return super().forward(single, boxes, image_shapes).to(dtype)

        if self.scales is None or self.map_levels is None:
            self._settle(_scales(features, image_shapes))
        return self._pool(features, boxes)

    def _pool(self, features: Sequence[Tensor], boxes: list[Tensor]) -> Tensor:
        device = features[0].device
        with torch.no_grad():
            rois = torch.cat(boxes)
            # a NaN box has no level; any will do
            level = self.map_levels([rois]).clamp_(0, len(features) - 1)
            # all that is known beforehand goes to the device without anybody waiting for it
            image = torch.from_numpy(np.repeat(np.arange(len(boxes)), [len(b) for b in boxes]))
            image = image.to(device, non_blocking=True)
            sizes = torch.tensor([f.shape[:1:-1] for f in features])
            areas = sizes.prod(1)
            starts = (areas * len(boxes)).cumsum(0) - areas * len(boxes)
            of_level = torch.cat((sizes, areas[:, None], starts[:, None]), 1)
            of_rois = of_level.to(device, non_blocking=True)[level]
            areas, starts = of_rois[:, 2:].unbind(1)
            scales = torch.tensor(self.scales, dtype=rois.dtype).to(device, non_blocking=True)
            placed = rois * scales[level][:, None], of_rois[:, :2], starts + image * areas
            columns, weights = _sampling_matrix(*placed, self.output_size[0], self.sampling_ratio)
        pooled = _SparseProduct.apply(columns, weights, *features)
        return pooled.view(len(rois), *self.output_size, features[0].shape[1]).permute(0, 3, 1, 2)


def _scales(features: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]) -> list[float]:
    """Feature pixels per image pixel of every level, as powers of two; torchvision's rule."""
    height = max(shape[0] for shape in image_shapes)
    return [2.0 ** round(math.log2(f.shape[2] / height)) for f in features]

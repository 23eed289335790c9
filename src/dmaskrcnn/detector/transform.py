"""From pictures to the batch that the network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dmaskrcnn.distributed import largest, world_size

# of ImageNet, as all of torchvision's weights expect
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image ``(3, H, W)``, uint8 or float, in another (height, width): bilinear with
    antialiasing, to the bit as ``torchvision.transforms.v2``, which imports torch's compiler."""
    if tuple(image.shape[-2:]) == size:
        return image
    # a batch of one whose layout torch sees: it keeps the channels last, which is fastest
    batch = image.as_strided((1, *image.shape), (image.numel(), *image.stride()))
    if image.dtype == torch.uint8 and image.device.type != "cpu":  # there is no kernel for it
        return _bilinear(batch.float(), size).round_().to(torch.uint8)[0]
    return _bilinear(batch, size)[0]


def _bilinear(batch: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(batch, size, mode="bilinear", align_corners=False, antialias=True)


def padded_size(images: Sequence[Tensor], shared: bool = False) -> list[int]:
    """The least (height, width) in multiples of 32, the stride of P5, that holds all images;
    ``shared``: those of all processes."""
    size = [-(-max(i.shape[d] for i in images) // 32) * 32 for d in (1, 2)]
    return largest(torch.tensor(size)).tolist() if shared and world_size() > 1 else size


def normalised_batch(
    images: Sequence[Tensor], size: Sequence[int], device: torch.device
) -> ImageList:
    """uint8 images ``(3, H, W)`` → one float32 batch ``(N, 3, *size)``, padded below and right with
    zeros, which are the mean colour."""
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1).to(device, non_blocking=True) * 255
        for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    batch = torch.empty(
        len(images), 3, *size, device=device, memory_format=torch.channels_last
    ).copy_(mean)
    # A launch for each image and two for all: images of a GPU wait for nothing and move once.
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]].copy_(image, non_blocking=True)
    return ImageList(batch.sub_(mean).div_(std), [(i.shape[1], i.shape[2]) for i in images])

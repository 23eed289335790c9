"""Whether an export finds what the detector finds that it was made of, in real pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmaskrcnn.detector.detector import Detector
from dmaskrcnn.errors import UserError
from dmaskrcnn.export.agreement import Agreement, agree
from dmaskrcnn.export.dehazing import MOST_DIFFERENCE, DehazeGraph
from dmaskrcnn.runtime.exported import ExportedDetector

Pixels = NDArray[np.uint8]
MOST_BOX, LEAST_MASK = 0.05, 0.99  # px; IoU: of every object on the same input, else in the mean
WORST_BOX, WORST_MASK = 0.2, 0.95  # of one object in a picture that was resized in two ways
SURE = 0.3  # score of objects that count: below what `predict` shows
NEAR = 0.02  # how far a score may move by resizing another way, within 1 of 255


def compare(
    detector: Detector,
    exported: ExportedDetector,
    pictures: Sequence[Pixels],
    dehaze: DehazeGraph | None,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Both on the same pictures: the network on the same input, bit for bit, and the whole from
    picture to picture.

    Raises:
        UserError: they differ by more than the tolerances above. On the same input that is about
        every object. From picture to picture it is about those that `predict` shows, in pixels of
        the network's input, and in the mean: there, a difference of 1 of 255 now and then is enough
        for a mask with a flat border, or a box as large as the picture, to move further.
    """
    images = [torch.from_numpy(p.copy()).permute(2, 0, 1) for p in pictures]
    small = [detector.resize(image) for image in images]
    least = detector.config.min_score
    network = agree(
        (detector.predict(image, least), exported.plain(image, least)) for image in small
    )
    say(f"same input: {network}")
    if not network.objects:
        say("nothing was found in them, which proves little: name other pictures with --compare")
    strict = network.box <= MOST_BOX and network.mask >= LEAST_MASK
    if network.added or network.lost or not strict:
        raise _differs("the network", network, MOST_BOX, LEAST_MASK)
    seen = images
    if dehaze is not None:
        seen = _check_dehazed(dehaze, exported, pictures, say)  # both look at the same
    pairs = zip(seen, pictures, strict=True)
    whole = agree((detector.predict(s, SURE), exported.predict(p, SURE - NEAR)) for s, p in pairs)
    whole.added = 0  # between the two thresholds there may be some
    say(f"picture to picture, scores of {SURE:g} and more: {whole}")
    _check_whole(whole, _reduction(images, small))
    return {"same input": asdict(network), "whole": asdict(whole)}


def _check_dehazed(
    dehaze: DehazeGraph,
    exported: ExportedDetector,
    pictures: Sequence[Pixels],
    say: Callable[[str], object],
) -> list[torch.Tensor]:
    """The pictures as the export dehazes them, if the run does it likewise."""
    clear = [exported.dehazed(p) for p in pictures]
    own = [dehaze.eager(torch.from_numpy(p.copy()).permute(2, 0, 1)) for p in pictures]
    pairs = zip((o.permute(1, 2, 0).numpy() for o in own), clear, strict=True)
    most = max(_difference(*pair) for pair in pairs)
    say(f"dehazed pictures: to {most} of 255")
    if most > MOST_DIFFERENCE:
        raise UserError(
            f"--dehaze: the exported pictures differ from the run's by {most} of 255, more "
            f"than {MOST_DIFFERENCE}; leave it out"
        )
    return [torch.from_numpy(p).permute(2, 0, 1) for p in clear]


def _check_whole(found: Agreement, reduction: float) -> None:
    """In a picture that is larger than the network's input, edges may move as many times as far."""
    box, worst_box = MOST_BOX * reduction, WORST_BOX * reduction
    mask, worst_mask = (1 - (1 - least) * reduction for least in (LEAST_MASK, WORST_MASK))
    mean = found.mean_box <= box and found.mean_mask >= mask
    if found.lost or not mean or found.box > worst_box or found.mask < worst_mask:
        raise _differs("what is found in whole pictures", found, box, mask)


def _difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def _reduction(images: Sequence[torch.Tensor], small: Sequence[torch.Tensor]) -> float:
    """How many pixels of a picture are one of the network's input, at most; 1 at least."""
    of_each = zip(images, small, strict=True)
    return max(1.0, *(image.shape[-1] / seen.shape[-1] for image, seen in of_each))


def _differs(what: str, found: Agreement, box: float, mask: float) -> UserError:
    return UserError(
        f"--format: {what} does not agree with the run ({found}; wanted: the same objects, boxes "
        f"to {box:.2g} px, masks to an IoU of {mask:.3g}); try the other format"
    )

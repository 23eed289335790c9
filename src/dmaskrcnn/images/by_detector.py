"""Each image to the detector that is meant for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

from dmaskrcnn.detections import Detections
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.haze.switch import HazeSwitch

if TYPE_CHECKING:
    from torch import Tensor

    from dmaskrcnn.detector.predictor import Predictor


def predict_each(
    detectors: Sequence[Predictor], images: Sequence[Tensor], threshold: float, best: bool = False
) -> list[Detections]:
    """The detections of each image, by the detector at the same place; one call per detector.

    Args:
        detectors: one for each image; the same may stand there many times.
        images: uint8 ``(3, H, W)``, of any sizes.
        threshold: the least score of an object, in [0, 1].
        best: also the best of an image where no score reaches the threshold.
    """
    found: dict[int, Detections] = {}
    for detector in {id(one): one for one in detectors}.values():
        places = [place for place, one in enumerate(detectors) if one is detector]
        of_each = detector.predict([images[place] for place in places], threshold, best=best)
        found |= zip(places, of_each, strict=True)
    return [found[place] for place in range(len(images))]


def in_tiles(predictor: Predictor, side: int, batch_size: int = 4) -> Predictor:
    """A detector that looks at tiles (see `detector.tiles`); of two for clear and hazy frames each
    does, so that the haze of a whole frame tells which of them looks at its tiles.

    Args:
        predictor: what is to look at tiles.
        side: of the tiles in px; 0: none, and the predictor stays as it is.
        batch_size: tiles per call.

    Raises:
        UserError: as of `Tiled`.
    """
    if not side:
        return predictor
    from dmaskrcnn.detector.tiles import Tiled

    if isinstance(predictor, ClearOrHazy):
        return predictor.in_tiles(side, batch_size)
    return Tiled(predictor, side, batch_size)


class ClearOrHazy:
    """Two detectors that look like one: frames in their order go to the one that suits their haze.

    Args:
        hazy: for frames with haze.
        clear: for frames without.
        switch: tells them.

    """

    def __init__(self, hazy: Predictor, clear: Predictor, switch: HazeSwitch):
        self._hazy, self._clear, self._switch = hazy, clear, switch
        self._counts = Counter[bool]()  # of hazy and clear frames so far

    @property
    def clear_count(self) -> int:
        """Of the frames so far, in tiles or not, those that were clear."""
        return self._counts[False]

    def in_tiles(self, side: int, batch_size: int) -> ClearOrHazy:
        """See the function `in_tiles`. The two share the switch and the count."""
        tiled = copy(self)
        tiled._hazy = in_tiles(self._hazy, side, batch_size)
        tiled._clear = in_tiles(self._clear, side, batch_size)
        return tiled

    def predict(
        self, images: Sequence[Tensor], threshold: float = 0.5, best: bool = False
    ) -> list[Detections]:
        """As of `predict_each`."""
        hazy = [self._switch.update(haziness(one)) for one in images]
        self._counts.update(hazy)
        chosen = [self._hazy if fog else self._clear for fog in hazy]
        return predict_each(chosen, images, threshold, best)

"""Detections that are read without an error but can mean nothing: boxes without area, as shares of
the picture, as corners, of pictures of another size; classes that the data set lacks."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmaskrcnn.data.coco_shares import are_shares
from dmaskrcnn.errors import UserError

_log = logging.getLogger(__name__)
# Of a detector's boxes hardly any is odd: they may reach over the edge, but not by a tenth of the
# picture. Whoever writes them wrongly does so in every entry, though not every box shows it: where
# the pictures were 1.2 times as large, it is a quarter of boxes that lie evenly.
_SHARE = 0.25
_OVER = 0.1
_CORNERS = 0.9  # of boxes that fit as x1, y1, x2, y2; as a rule few are wider than they are far in


def warn_of_odd(path: Path, boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> None:
    """Warn where the boxes of a file cannot be those of its pictures.

    Args:
        path: the file.
        boxes: ``(N, 4)``, xyxy, in the order of its entries.
        sizes: ``(N, 2)``, height and width of each one's picture; 0 where they are not known.
    """
    if not len(boxes):
        _log.warning(
            "%s: holds no detection; if its pictures show something, lower the threshold of the "
            "detector that wrote it",
            path,
        )
        return
    low, high, limit = boxes[:, :2], boxes[:, 2:], sizes[:, ::-1]
    known, over = np.all(limit > 0, axis=1), _OVER * limit
    out = known & ((low < -over) | (high > limit + over)).any(1)
    written = high - low  # as width and height
    corners = (known & (written > low).all(1) & (written <= limit + over).all(1)).sum()
    outside = "predict on the pictures as they are, or scale the boxes to them"
    if corners > _CORNERS * known.sum():
        outside = "if these are x1, y1, x2, y2, write x, y, width, height"
    shares = are_shares(boxes) & (limit > 1).any(1)
    for odd, what, remedy in (
        ((high <= low).any(1), "have no area", "write x, y, width, height in pixels"),
        (
            shares,
            "lie within one pixel",
            "if these are shares of the picture, multiply them by its width and height",
        ),
        (out, "reach far outside their pictures", outside),
    ):
        if odd.mean() <= _SHARE:
            continue
        first = int(odd.argmax())
        bbox = ", ".join(f"{value:g}" for value in (*low[first], *written[first]))
        width, height = limit[first]
        _log.warning(
            "%s: %d of %d boxes %s, first entry %d: bbox [%s]%s; %s",
            *(path, odd.sum(), len(boxes), what, first, bbox),
            f" in a picture of {width:g}x{height:g}" if known[first] else "",
            remedy,
        )
        return


def check_classes(path: Path, found: Collection[str], known: Collection[str]) -> None:
    """Raises UserError where detections are of no class of the test set, and so would score 0.

    Of a file that the user gives: what a detector of this package finds is named as it should be.

    Args:
        path: the file.
        found: the classes of its detections.
        known: the classes of the test set, scored or not.
    """
    if found and not set(found) & set(known):
        raise UserError(
            f"{path}: no detection is of a class of the test set: they are {_listed(found)}, it "
            f"has {_listed(known)}; give each a category_name of these, or name the file with "
            ":coco where the ids are COCO's own, with :coco80 where they count from 0"
        )


def _listed(names: Collection[str]) -> str:
    said = ", ".join(sorted(names)[:8])
    return said + (f" and {len(names) - 8} more" if len(names) > 8 else "")

"""Bars of one colour that cameras burn into their frames, with the time in them: no method should
look at them, as the brightest thing in a picture passes for its airlight."""

from __future__ import annotations

from torch import Tensor

LEAST, MOST = 4, 0.2  # height of a bar, in px and as a share of the picture
# At the picture's border a bar is even, to JPEG's rounding, but for writing that touches it.
EVEN, BORDER_SHARE = 3 / 255, 0.9
# Further in, JPEG's ripples around writing are up to 12 of 255 high; writing covers half at most.
ALIKE, ALIKE_SHARE = 12 / 255, 0.4
# A bar is even to its end and gone after it, each to three rows where JPEG or scaling blurs it; the
# sky of a fog photograph may be even along rows, but fades over dozens of them.
END, OTHER_SHARE = 3, 0.1


def bar_heights(image: Tensor) -> tuple[int, int]:
    """Rows of the bright bars along the upper and the lower edge, 0 for none.

    Dark bars are no bars here: nothing takes them for haze.

    Args:
        image: ``(3, H, W)`` in [0, 1].
    """
    return _upper_bar(image), _upper_bar(image.flip(1))


def _upper_bar(image: Tensor) -> int:
    height = image.shape[1]
    most = int(MOST * height)
    if most < LEAST:
        return 0
    colour = image[:, 0].median(dim=1).values[:, None, None]
    off = (image[:, : most + END] - colour).abs_().amax(dim=0)
    even, alike = ((off <= limit).float().mean(dim=1).tolist() for limit in (EVEN, ALIKE))
    if even[0] < BORDER_SHARE:
        return 0
    rows = next((row for row, share in enumerate(alike) if share < ALIKE_SHARE), 0)
    if not LEAST <= rows <= most or even[rows - END] < ALIKE_SHARE:
        return 0
    for end in range(rows, rows + END):
        if alike[end] <= OTHER_SHARE:
            return end if colour.mean() > image[:, end:].mean() else 0
    return 0

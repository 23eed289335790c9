"""Depth of a street photograph from geometry alone: a flat ground below a horizon, and annotated
objects standing on it.

A pinhole camera at height h above flat ground, with focal length f [px], sees ground at distance z
in the row ``horizon + f h / z``; an object of height H there is ``f H / z`` high. So the lower
edges of the boxes of known classes lie on a line, ``bottom = horizon + h · (box height / H)``,
which gives the horizon and the height of the camera in metres (the idea of Hoiem et al., "Putting
Objects in Perspective", CVPR 2006). The focal length stays unknown; it scales all distances alike.

All is done in inverse depth, which is linear in the picture: 0 is the sky, and soft edges are plain
blends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

# Typical heights in metres, without riders.
CLASS_HEIGHTS = {
    "person": 1.7,
    "pedestrian": 1.7,
    "rider": 1.6,
    "bicycle": 1.1,
    "motorcycle": 1.3,
    "car": 1.5,
    "van": 2.1,
    "bus": 3.0,
    "truck": 3.0,
    "train": 3.8,
    "trailer": 3.0,
    "traffic light": 0.9,
    "stop sign": 0.75,
    "cow": 1.4,
    "horse": 1.7,
}
UNKNOWN_HEIGHT = 1.0  # m
HEIGHT_SPREAD = 0.25  # of true heights, and of what poses and slopes add, as a share
# m; the sky, and the ground at the horizon: nothing of it is seen through the thinnest haze
FAR = 2000.0
# width of the outline of a box without a mask, in half widths and in heights of the box
SOFT_EDGE = 0.25
# metres to trees and houses above the horizon, in distances of the median object
BACKGROUND = (1.5, 12.0)
SKY = (0.55, 0.85)  # brightness: what is darker is no sky, what is brighter is nothing else
# Depth is found in a reduced picture and enlarged along the edges of the picture: the radius there
# of the guided filter's windows, and the least variance of an edge.
WINDOW, EDGE = 3, 0.003
HIDDEN = 0.7  # an object is believed to be at least this share of its class's height


class Objects(Protocol):
    """N annotated objects: see ``data.sample.Annotations``, which is one. Boxes are in px; labels
    point to names of classes; ``has_mask`` is False for a box only, ``crowd`` True for many."""

    boxes: Tensor
    labels: Tensor
    has_mask: Tensor
    crowd: Tensor

    @property
    def masks(self) -> Any:
        """bool ``(N, H, W)``, a tensor."""
        ...


@dataclass(frozen=True)
class Ground:
    """A flat ground as a camera sees it.

    Attributes:
        horizon: the row where it ends, px from the upper edge; may lie outside the picture.
        camera_height: of the camera above it, in metres.
        focal: focal length in px.
    """

    horizon: float
    camera_height: float
    focal: float

    def inverse_depth(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """1/m at these rows [px]; 0 at the horizon and above it."""
        return np.maximum(rows - self.horizon, 0) / (self.focal * self.camera_height)


def class_heights(classes: Sequence[str]) -> NDArray[np.float32]:
    """Typical height in metres of each class, float32 ``(C,)``; nan for a class that is not
    known."""
    return np.array([CLASS_HEIGHTS.get(name, np.nan) for name in classes], dtype=np.float32)


def fit_ground(
    boxes: NDArray[np.floating],
    heights: NDArray[np.floating],
    size: tuple[int, int],
    rng: np.random.Generator,
    focal: float | None = None,
) -> Ground:
    """The most probable ground under the objects; a plausible random one where they say nothing.

    Maximum a posteriori on a grid of horizons and camera heights: each box votes with a Laplace
    likelihood cut off against outliers (people who sit, cars on a bridge), against a prior around a
    horizon at 0.35 to 0.5 of the picture's height and a camera at 1.2 to 2.5 m, drawn anew each
    time.

    Args:
        boxes: float ``(N, 4)``, xyxy in px.
        heights: ``(N,)``, true heights in metres; nan for an object that is not to vote. Boxes cut
            off at the border do not.
        size: ``(height, width)`` of the picture.
        rng: of the prior and of the focal length, if that is not known.
        focal: focal length in px; None: 0.8 to 1.3 times the longer side (a field of view of 42 to
            64 degrees).
    """
    height, width = size
    likely_horizon, likely_camera = (
        rng.uniform(0.35, 0.5),
        np.exp(rng.uniform(np.log(1.2), np.log(2.5))),
    )
    focal = focal or float(rng.uniform(0.8, 1.3) * max(height, width))
    margin = 0.005 * height
    whole = (boxes[:, 1] > margin) & (boxes[:, 3] < height - margin) & (boxes[:, 0] > margin)
    whole &= (boxes[:, 2] < width - margin) & np.isfinite(heights)
    top, bottom = boxes[whole, 1] / height, boxes[whole, 3] / height

    def best(horizons: NDArray[np.floating], cameras: NDArray[np.floating]) -> tuple[float, float]:
        # how far the lower edge should be below the horizon
        below = cameras[:, None] * (bottom - top) / heights[whole]
        misfit = np.abs(bottom - horizons[:, None, None] - below) / (0.02 + HEIGHT_SPREAD * below)
        cost = np.minimum(misfit, 3).sum(-1) + np.abs(np.log(cameras / likely_camera)) / 0.5
        cost += np.abs(horizons - likely_horizon)[:, None] / 0.08
        row, column = np.unravel_index(np.argmin(cost), cost.shape)
        return float(horizons[row]), float(cameras[column])

    # A coarse grid, which holds the prior's own best, then a fine one around the best of it.
    horizon, camera = best(
        np.append(np.linspace(-0.2, 0.8, 51), likely_horizon),
        np.append(np.geomspace(0.8, 16, 32), likely_camera),
    )
    horizon, camera = best(
        horizon + np.linspace(-0.02, 0.02, 21), camera * np.geomspace(1 / 1.1, 1.1, 11)
    )
    return Ground(horizon * height, camera, focal)


def object_depths(
    boxes: NDArray[np.floating], heights: NDArray[np.floating], ground: Ground
) -> NDArray[np.float32]:
    """Metres to each object, float32 ``(N,)`` in (0, FAR]: where its lower edge touches the ground.

    What is partly hidden has a lower edge too high and a height too small: either makes it look too
    far, so the nearer of the two distances counts, the one from its height with a tolerance. The
    latter also places what is above the horizon.

    Args:
        boxes: ``(N, 4)``, xyxy in px.
        heights: ``(N,)``, true heights in metres; nan if not known.
        ground: what they stand on.
    """
    from_size = (
        HIDDEN
        * (boxes[:, 3] - boxes[:, 1])
        / (ground.focal * np.nan_to_num(heights, nan=UNKNOWN_HEIGHT))
    )
    above = boxes[:, 3] <= ground.horizon
    from_size = np.where(np.isfinite(heights) | above, from_size, 0)
    inverse = np.maximum(ground.inverse_depth(boxes[:, 3]), from_size)
    return np.minimum(1 / np.maximum(inverse, 1 / FAR), FAR).astype(np.float32)


def scene_depth(
    boxes: NDArray[np.floating],
    depths: NDArray[np.floating],
    masks: Sequence[NDArray[np.bool_] | None],
    ground: Ground,
    size: tuple[int, int],
    background: NDArray[np.floating] | float = FAR,
) -> NDArray[np.float32]:
    """The depth of every pixel: ground, background, and the objects in front of them, nearer ones
    over farther ones.

    An object without a mask gets its box with rounded upper corners and an edge so soft that haze
    shows no rectangle.

    Args:
        boxes: ``(N, 4)``, xyxy in px.
        depths: ``(N,)``, metres to each object.
        masks: per object bool ``(H, W)``, or None.
        ground: what is below the horizon.
        size: ``(H, W)``.
        background: metres to what is above the horizon, a number or ``(H, W)``.

    Returns:
        float32 ``(H, W)``, metres in (0, FAR].
    """
    height, width = size
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(width, dtype=np.float32)[None] + 0.5
    inverse = np.maximum(ground.inverse_depth(rows), np.float32(1) / background) * np.ones(
        (1, width), np.float32
    )
    for i in np.argsort(-depths, kind="stable"):
        x0, y0, x1, y1 = boxes[i].tolist()
        mask = masks[i]
        margin_x, margin_y = (
            (0.0, 0.0)
            if mask is not None
            else (SOFT_EDGE * (x1 - x0) / 4, SOFT_EDGE * (y1 - y0) / 2)
        )
        window = np.s_[
            max(0, int(y0 - margin_y)) : int(y1) + 1,
            max(0, int(x0 - margin_x)) : int(x1 + margin_x) + 1,
        ]
        if mask is not None:
            cover = mask[window]
        else:
            u = (columns[:, window[1]] - (x0 + x1) / 2) / max((x1 - x0) / 2, 1)
            v = (y1 - rows[window[0]]) / max(y1 - y0, 1)
            # 1 on a rounded arch that fills the box
            radius = (np.abs(u) ** 3 + np.abs(v) ** 3) ** (1 / 3)
            cover = np.clip((1 + SOFT_EDGE / 2 - radius) / SOFT_EDGE, 0, 1) * (v > 0)
        behind = inverse[window]
        inverse[window] = np.maximum(behind, behind + cover * (1 / depths[i] - behind))
    return np.minimum(1 / np.maximum(inverse, 1 / FAR), FAR).astype(np.float32)


def reduced_objects(
    objects: Objects | None, classes: Sequence[str], step: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[NDArray[np.bool_] | None]]:
    """Objects as :func:`estimate_layout` takes them: boxes, heights and masks in a picture reduced
    by ``step``.

    Crowds have no height, as their boxes hold many people one behind the other.
    """
    if objects is None or not len(objects.boxes):
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), []
    heights = class_heights(classes)[objects.labels.numpy()]
    heights[objects.crowd.numpy()] = np.nan
    known = objects.has_mask.tolist()
    masks = [
        mask[::step, ::step].numpy() if has else None
        for mask, has in zip(objects.masks, known, strict=True)
    ]
    return (objects.boxes / step).numpy(), heights, masks


def estimate_layout(
    image: NDArray[np.float32],
    boxes: NDArray[np.float32],
    heights: NDArray[np.float32],
    rng: np.random.Generator,
    focal: float | None = None,
) -> tuple[Ground, NDArray[np.float32], float, NDArray[np.float32]]:
    """What :func:`scene_depth` puts together: the ground, the objects on it, and above the horizon
    a background at a random distance.

    Args:
        image: ``(3, H, W)``, RGB in [0, 255]. Its brightness tells the sky from trees and houses,
            and nothing else.
        boxes: ``(N, 4)``, xyxy in px.
        heights: ``(N,)``, true heights in metres; nan if not known.
        rng: of what the picture does not tell.
        focal: focal length in px, if known.

    Returns:
        The ground; metres to each object, float32 ``(N,)``; metres to the median object, or where
        nothing is annotated, to the ground three quarters down the picture; and metres to the
        background, float32 ``(H, W)``.
    """
    size = (image.shape[1], image.shape[2])
    ground = fit_ground(boxes, heights, size, rng, focal)
    depths = object_depths(boxes, heights, ground)
    bare_ground = 1 / np.maximum(ground.inverse_depth(np.array([0.75 * size[0]])), 1 / FAR)
    reference = float(np.median(depths if len(depths) else bare_ground))
    near = reference * np.exp(rng.uniform(*np.log(BACKGROUND)))
    darkness = np.clip((SKY[1] - image.max(0) / 255) / (SKY[1] - SKY[0]), near / FAR, 1)
    return ground, depths, reference, near / darkness

"""Pictures of objects: translucent masks with a crisp contour, thin boxes and readable name tags.

Every size (lines, fonts, margins) follows from the size of the image, so that a 320 px thumbnail
and a 4000 px photograph look alike. Boxes are xyxy in continuous pixel coordinates: the box (2, 3,
10, 12) encloses the pixel columns 2…9 and rows 3…11, and its outline is drawn on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dmaskrcnn.arrays import as_array
from dmaskrcnn.data.packed_masks import Crop, PackedMasks
from dmaskrcnn.data.picture_input import Picture, as_eight_bits, image_pixels
from dmaskrcnn.errors import UserError
from dmaskrcnn.tags import Colour, Lettering, place_tags

if TYPE_CHECKING:
    from torch import Tensor

# Okabe & Ito, "Color Universal Design" (2008), without black; ordered so that the first classes
# differ most.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (0, 114, 178),  # blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (86, 180, 233),  # sky blue
    (213, 94, 0),  # vermilion
    (240, 228, 66),  # yellow: last, it is lost on haze
)
# Towards white (> 0) or black (< 0): the k-th instance of a class, and the classes beyond the
# palette, differ in lightness.
SHADES = (0.0, 0.36, -0.2, 0.18)
MASK_OPACITY = 0.4  # the object stays recognisable, its contour opaque
# of what is drawn; coarse chroma would blur coloured lines of one pixel
JPEG = {"quality": 92, "subsampling": 0}


class Truth(Protocol):
    """Annotated objects, as a data set gives them: see ``data.sample.Annotations``."""

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    difficult: Tensor

    @property
    def packed(self) -> PackedMasks:
        """The masks."""
        ...


def draw_truth(image: Picture, objects: Truth, classes: Sequence[str]) -> Image.Image:
    """A picture of the image with its annotated objects; crowds and difficult objects say so in
    their label.

    Args:
        image: as for ``as_picture``; of the size of the annotations' masks.
        objects: may be empty; those without a mask get their box only.
        classes: the names that ``objects.labels`` point to.

    Returns:
        An RGB picture of the same size; the input is left as it is.
    """
    captions = []
    of_each = zip(objects.labels, objects.crowd, objects.difficult, strict=True)
    for label, crowd, difficult in of_each:
        name = classes[int(label)]
        flags = " (crowd)" * bool(crowd) + " (difficult)" * bool(difficult)
        captions.append((name + flags, name))
    return draw_objects(image, objects.boxes, objects.labels, objects.packed, captions)


def draw_objects(
    image: Picture,
    boxes: Tensor,
    labels: Tensor,
    masks: Tensor | PackedMasks,
    captions: Sequence[tuple[str, ...]],
    colours: list[Colour] | None = None,
) -> Image.Image:
    """A picture of the image with objects in it: masks and boxes from the largest to the smallest,
    then the name tags above all of them.

    Args:
        image: as for ``as_picture``.
        boxes: float ``(N, 4)``, xyxy in pixels; N may be 0.
        labels: int64 ``(N,)``: the hue of an object is that of its class.
        masks: bool ``(N, H, W)`` of the image's size, or packed; all False for those with a box
            only.
        captions: for each object the texts that would do on its tag, the best first; the first that
            fits into the image is taken.
        colours: of the objects; by default `instance_colours`.

    Returns:
        An RGB picture of the same size; the input is left as it is.

    Raises:
        UserError: the masks are not of the image's size, or it is no image.
    """
    canvas = np.array(as_eight_bits(image_pixels(image)), order="C")
    height, width = canvas.shape[:2]
    if tuple(masks.shape[1:]) != (height, width):
        theirs = "×".join(map(str, masks.shape[1:]))
        raise UserError(
            f"image: {height}×{width}, but the masks are {theirs} (height × width); give the "
            "picture they were found in"
        )
    if not len(boxes):
        return Image.fromarray(canvas)
    colours = instance_colours(labels) if colours is None else colours
    corners = pixel_corners(boxes, height, width)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in corners]
    order = sorted(range(len(corners)), key=lambda index: -areas[index])
    size = math.sqrt(width * height)
    contour = max(1, round(size / 420))

    packed = masks if isinstance(masks, PackedMasks) else PackedMasks.of_frames(masks)
    # one after the other: those of a hundred large objects in 12 megapixels would take a gigabyte
    for index, crop in zip(order, packed[order].crops(), strict=True):
        paint_mask(canvas, crop, colours[index], contour)
    painted = Image.fromarray(canvas)
    pen = ImageDraw.Draw(painted)
    for index in order:
        pen.rectangle(corners[index], outline=colours[index], width=max(1, round(size / 700)))
    letters = Lettering(max(11, round(size / 50)))
    # the first, most certain one on top
    for tag in reversed(place_tags(corners, captions, colours, letters, height, width)):
        letters.draw(pen, tag)
    return painted


def as_picture(image: Picture) -> Image.Image:
    """A new RGB picture from any form of an image, see `picture_input.image_pixels`, which also has
    the errors."""
    return Image.fromarray(np.ascontiguousarray(as_eight_bits(image_pixels(image))))


def instance_colours(labels: Tensor | NDArray[np.int64]) -> list[Colour]:
    """A colour per object: the hue tells the class, the lightness the instances of a class
    apart."""
    seen: dict[int, int] = {}
    colours = []
    for label in labels.tolist():
        instance = seen[label] = seen.get(label, -1) + 1
        colours.append(shaded(label, instance))
    return colours


def shaded(label: int, instance: int) -> Colour:
    """The colour of the so-many-th instance of a class."""
    shade = SHADES[(instance + label // len(PALETTE)) % len(SHADES)]
    end, part = (255, shade) if shade > 0 else (0, -shade)
    hue = PALETTE[label % len(PALETTE)]
    red, green, blue = (round(value + (end - value) * part) for value in hue)
    return red, green, blue


def pixel_corners(boxes: Tensor, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """The outermost pixels (left, top, right, bottom; inclusive) inside each box, brought into the
    image.

    Args:
        boxes: float ``(N, 4)``, xyxy; values outside the image and NaN are tolerated.
        height, width: of the image, in pixels.
    """
    floats = as_array(boxes).astype(np.float32)
    finite = np.nan_to_num(floats, nan=0.0, posinf=1e6, neginf=-1e6)
    corners = []
    for x1, y1, x2, y2 in finite.round().astype(np.int64).tolist():
        left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        corners.append((left, top, max(left, min(x2, width) - 1), max(top, min(y2, height) - 1)))
    return corners


def paint_mask(canvas: np.ndarray, mask: Crop, colour: Colour, contour: int) -> None:
    """Tints the mask's pixels and draws its contour, on the outermost ``contour`` pixels of the
    mask itself, in place.

    Args:
        canvas: uint8 ``(H, W, 3)``.
        mask: in its window; nothing outside it is touched.
        colour: RGB.
        contour: the width of the contour, in pixels.
    """
    top, left, inside = mask
    inside = np.ascontiguousarray(inside)
    part = canvas[top : top + inside.shape[0], left : left + inside.shape[1]]
    ink = np.array(colour, dtype=np.float32)
    part[inside] = (part[inside] * (1 - MASK_OPACITY) + ink * MASK_OPACITY).round().astype(np.uint8)
    part[inside & ~_erode(inside, contour)] = colour


def _erode(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Erosion by an octagon (a cross and a square in turn), outside = False: a contour equally wide
    in every direction."""
    inner = np.pad(mask, 1)
    for step in range(pixels):
        sides = inner.copy()
        sides[1:-1] &= inner[:-2] & inner[2:]
        if step % 2:  # the square: rows first, then columns of what is left
            inner = sides.copy()
        sides[:, 1:-1] &= inner[:, :-2] & inner[:, 2:]
        inner = sides
    return inner[1:-1, 1:-1]


def contact_sheet(
    pictures: Sequence[Picture],
    columns: int,
    captions: Sequence[str] = (),
    title: str = "",
    cell_width: int = 480,
) -> Image.Image:
    """A grid of pictures on white, for comparing them side by side.

    Args:
        pictures: row by row; at least one. Each is scaled to the width of its column, keeping its
            shape.
        columns: pictures in a row.
        captions: above the pictures: one per column (over the first row), or one per picture, or
            none.
        title: above everything.
        cell_width: of a column, in pixels.

    Raises:
        ValueError: for no pictures, no columns, or another number of captions.
    """
    if not pictures or columns < 1:
        given = f"{len(pictures)} in {columns}"
        raise ValueError(f"pictures: expected at least one, in at least one column, got {given}")
    if captions and len(captions) not in (columns, len(pictures)):
        wanted = f"one per column ({columns}) or per picture ({len(pictures)})"
        raise ValueError(f"captions: expected {wanted}, got {len(captions)}")
    gap = max(4, cell_width // 60)
    letters, large = Lettering(max(12, cell_width // 26)), Lettering(max(14, cell_width // 20))
    line, title_line = letters.height, large.height + gap if title else 0
    headings = [*captions, *[""] * len(pictures)][: len(pictures)]
    cells = [_cell(image, cell_width) for image in pictures]
    parts = [slice(start, start + columns) for start in range(0, len(cells), columns)]
    rows = [(cells[part], headings[part]) for part in parts]
    heights = [max(cell.height for cell in row) + line * any(names) for row, names in rows]
    count = min(columns, len(pictures))
    size = count * (cell_width + gap) + gap, title_line + sum(heights) + (len(rows) + 1) * gap
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    y = gap
    if title:
        large.write(pen, (gap, y), title, sheet.width - 2 * gap, grey=0)
        y += title_line
    for (row, names), height in zip(rows, heights, strict=True):
        for column, (picture, name) in enumerate(zip(row, names, strict=True)):
            x = gap + column * (cell_width + gap)
            letters.write(pen, (x, y), name, cell_width, grey=40)
            sheet.paste(picture, (x, y + line * any(names)))
        y += height + gap
    return sheet


def _cell(image: Picture, width: int) -> Image.Image:
    picture = as_picture(image)
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)

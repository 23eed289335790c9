"""Pictures of objects: translucent masks with a crisp contour, thin boxes and readable name tags.

Every size (lines, fonts, margins) follows from the size of the image, so that a 320 px thumbnail
and a 4000 px photograph look alike. Boxes are xyxy in continuous pixel coordinates: the box (2, 3,
10, 12) encloses the pixel columns 2…9 and rows 3…11, and its outline is drawn on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, features
from torch import Tensor

if TYPE_CHECKING:
    from dmaskrcnn.data.sample import Annotations
    from dmaskrcnn.detections import Detections

ImageLike: TypeAlias = "Tensor | np.ndarray | Image.Image"
Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

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
MASK_OPACITY = 0.4


class Tag(NamedTuple):
    """A placed label: its rectangle in pixels (right and bottom exclusive), text and colour."""

    left: int
    top: int
    right: int
    bottom: int
    text: str
    colour: Colour


def draw_detections(image: ImageLike, detections: Detections) -> Image.Image:
    """A picture of the image with what was found in it.

    Args:
        image: as for ``as_picture``; of the size of the detections' masks.
        detections: may be empty.

    Returns:
        An RGB picture of the same size; the input is left as it is.

    Raises:
        ValueError: if the masks are not of the image's size.
    """
    captions = [
        (f"{name} {score:.2f}", name)
        for name, score in zip(detections.names, detections.scores.tolist(), strict=True)
    ]
    return _draw_objects(
        as_picture(image), detections.boxes, detections.labels, detections.masks, captions
    )


def draw_truth(image: ImageLike, objects: Annotations, classes: Sequence[str]) -> Image.Image:
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
    for label, crowd, difficult in zip(
        objects.labels, objects.crowd, objects.difficult, strict=True
    ):
        name = classes[int(label)]
        captions.append(
            (name + (" (crowd)" if crowd else "") + (" (difficult)" if difficult else ""), name)
        )
    return _draw_objects(as_picture(image), objects.boxes, objects.labels, objects.masks, captions)


def as_picture(image: ImageLike) -> Image.Image:
    """A new RGB picture from any of the usual forms of an image.

    Args:
        image: a picture; a uint8 or float [0, 1] tensor ``(3, H, W)``, ``(1, H, W)`` or ``(H, W)``;
            a numpy array of the same values, ``(H, W, 3)``, ``(H, W, 1)``, ``(H, W)`` or channels
            first.

    Raises:
        ValueError: for another shape or dtype.
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB") if image.mode != "RGB" else image.copy()
    if isinstance(image, Tensor):
        array = image.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
        channels_first = array.ndim == 3
    else:
        array = image
        channels_first = array.ndim == 3 and array.shape[-1] not in (1, 3)
    shape = tuple(array.shape)
    if channels_first:
        array = array.transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"image: expected (3, H, W), got {shape}")
    if np.issubdtype(array.dtype, np.floating):
        array = (np.nan_to_num(array).clip(0, 1) * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"image: expected uint8 or float in [0, 1], got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3))))


def instance_colours(labels: Tensor) -> list[Colour]:
    """A colour per object: the hue tells the class, the lightness the instances of a class
    apart."""
    seen: dict[int, int] = {}
    colours = []
    for label in labels.tolist():
        instance = seen[label] = seen.get(label, -1) + 1
        shade = SHADES[(instance + label // len(PALETTE)) % len(SHADES)]
        end, part = (255, shade) if shade > 0 else (0, -shade)
        red, green, blue = (
            round(value + (end - value) * part) for value in PALETTE[label % len(PALETTE)]
        )
        colours.append((red, green, blue))
    return colours


def _draw_objects(
    picture: Image.Image,
    boxes: Tensor,
    labels: Tensor,
    masks: Tensor,
    captions: Sequence[tuple[str, ...]],
) -> Image.Image:
    """Draws in place: masks and boxes from the largest object to the smallest, then the tags above
    all of them."""
    width, height = picture.size
    if tuple(masks.shape[1:]) != (height, width):
        raise ValueError(
            f"image: {height}×{width}, but the masks are "
            f"{'×'.join(map(str, masks.shape[1:]))} (height × width)"
        )
    if not len(boxes):
        return picture
    colours = instance_colours(labels)
    corners = pixel_corners(boxes, height, width)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in corners]
    order = sorted(range(len(corners)), key=lambda index: -areas[index])
    size = math.sqrt(width * height)

    canvas = np.array(picture)
    for index in order:
        paint_mask(
            canvas, masks[index].cpu().numpy(), colours[index], contour=max(1, round(size / 420))
        )
    painted = Image.fromarray(canvas)
    pen = ImageDraw.Draw(painted)
    for index in order:
        pen.rectangle(corners[index], outline=colours[index], width=max(1, round(size / 700)))
    font = load_font(max(11, round(size / 50)))
    # the first, most certain one on top
    for tag in reversed(place_tags(corners, captions, colours, font, height, width)):
        _draw_tag(pen, tag, font)
    return painted


def pixel_corners(boxes: Tensor, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """The outermost pixels (left, top, right, bottom; inclusive) inside each box, brought into the
    image.

    Args:
        boxes: float ``(N, 4)``, xyxy; values outside the image and NaN are tolerated.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    rounded = torch.nan_to_num(
        boxes.detach().cpu().float(), nan=0.0, posinf=1e6, neginf=-1e6
    ).round()
    corners = []
    for x1, y1, x2, y2 in rounded.to(torch.int64).tolist():
        left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        corners.append((left, top, max(left, min(x2, width) - 1), max(top, min(y2, height) - 1)))
    return corners


def paint_mask(canvas: np.ndarray, mask: np.ndarray, colour: Colour, contour: int) -> None:
    """Tints the mask's pixels and draws its contour, on the outermost ``contour`` pixels of the
    mask itself, in place.

    Args:
        canvas: uint8 ``(H, W, 3)``.
        mask: bool ``(H, W)``; nothing outside it is touched.
        colour: RGB.
        contour: the width of the contour, in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part, inside = canvas[window], mask[window]
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


def load_font(size: int) -> Font:
    """Pillow's own font at ``size`` pixels; its fixed small bitmap font where Pillow was built
    without FreeType."""
    return (
        ImageFont.load_default(size=size)
        if features.check("freetype2")
        else ImageFont.load_default()
    )


def place_tags(
    corners: list[tuple[int, int, int, int]],
    captions: Sequence[tuple[str, ...]],
    colours: list[Colour],
    font: Font,
    height: int,
    width: int,
) -> list[Tag]:
    """A place for each caption: inside the image, at its box, and clear of the tags before it where
    there is room.

    Args:
        corners: of the boxes, as from ``pixel_corners``.
        captions: for each box the texts that would do, the best first; the first that fits into the
            image is taken.
        colours: of the tags.
        font: of the text.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        The tags in the order of the boxes, without those that do not fit, as in an image of a few
        pixels.
    """
    placed: list[Tag] = []
    for (left, top, right, bottom), texts, colour in zip(corners, captions, colours, strict=True):
        for text in texts:
            w, h = tag_size(text, font)
            if w <= width and h <= height:
                break
        else:
            continue
        left_end, right_end = (
            left,
            right + 1 - w,
        )  # above, inside, below, beside; then further away
        places = [
            (left_end, top - h),
            (left_end, top),
            (right_end, top - h),
            (left_end, bottom + 1),
            (right_end, bottom + 1),
        ]
        places += [(left_end, bottom + 1 - h), (right + 1, top), (left - w, top)]
        places += [
            place
            for k in (1, 2)
            for place in ((left_end, top - h - k * h), (left_end, bottom + 1 + k * h))
        ]
        best, least = None, math.inf
        for x, y in places:
            x, y = min(max(x, 0), width - w), min(max(y, 0), height - h)
            tag = Tag(x, y, x + w, y + h, text, colour)
            covered = sum(_overlap(tag, other) for other in placed)
            if covered < least:
                best, least = tag, covered
            if not covered:
                break
        assert best is not None
        placed.append(best)
    return placed


def tag_size(text: str, font: Font) -> tuple[int, int]:
    """The width and height of a tag in pixels: the text, the font's full line height, and a
    margin."""
    _, line, across, down = _text_metrics(font)
    return math.ceil(font.getlength(_printable(text, font))) + 2 * across, line + 2 * down


def _text_metrics(font: Font) -> tuple[int, int, int, int]:
    """In pixels: where a line's ink begins below the pen, its height, and the margins beside and
    above it in a tag."""
    # an ascender and a descender, so that all tags are of one height
    _, top, _, bottom = font.getbbox("Ag")
    line = math.ceil(bottom - top)
    across = max(2, round(line / 4))
    return math.floor(top), line, across, max(1, across - 1)


def _draw_tag(pen: ImageDraw.ImageDraw, tag: Tag, font: Font) -> None:
    """A filled rectangle with the text, black or white, on it."""
    top, _, across, down = _text_metrics(font)
    pen.rectangle((tag.left, tag.top, tag.right - 1, tag.bottom - 1), fill=tag.colour)
    # Whichever contrasts more: black and white tie at a relative luminance of about 0.18 (WCAG 2.1,
    # contrast ratio).
    red, green, blue = ((value / 255) ** 2.2 for value in tag.colour)
    ink = (0, 0, 0) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else (255, 255, 255)
    pen.text(
        (tag.left + across, tag.top + down - top), _printable(tag.text, font), fill=ink, font=font
    )


def _printable(text: str, font: Font) -> str:
    """The bitmap font knows Latin-1 only and raises for anything else."""
    return (
        text
        if isinstance(font, ImageFont.FreeTypeFont)
        else text.encode("latin-1", "replace").decode("latin-1")
    )


def _overlap(a: Tag, b: Tag) -> int:
    """The common area of two tags, in pixels."""
    return max(0, min(a.right, b.right) - max(a.left, b.left)) * max(
        0, min(a.bottom, b.bottom) - max(a.top, b.top)
    )


def contact_sheet(
    pictures: Sequence[ImageLike],
    columns: int,
    captions: Sequence[str] = (),
    title: str = "",
    cell_width: int = 480,
) -> Image.Image:
    """A grid of pictures, for comparing them side by side.

    Args:
        pictures: row by row; at least one. Each is scaled to the width of its column, keeping its
            shape.
        columns: pictures in a row.
        captions: above the pictures: one per column (over the first row), or one per picture, or
            none.
        title: above everything.
        cell_width: the width of a column in pixels.

    Returns:
        An RGB picture on white.

    Raises:
        ValueError: for no pictures, no columns, or another number of captions.
    """
    if not pictures or columns < 1:
        raise ValueError(
            "pictures: expected at least one, in at least one column, got "
            f"{len(pictures)} in {columns}"
        )
    if captions and len(captions) not in (columns, len(pictures)):
        raise ValueError(
            f"captions: expected one per column ({columns}) or per picture "
            f"({len(pictures)}), got {len(captions)}"
        )
    gap = max(4, cell_width // 60)
    font, title_font = load_font(max(12, cell_width // 26)), load_font(max(14, cell_width // 20))
    line, title_line = tag_size("", font)[1], tag_size("", title_font)[1] + gap if title else 0
    headings = [*captions, *[""] * len(pictures)][: len(pictures)]
    rows = []
    for start in range(0, len(pictures), columns):
        row = []
        for image in pictures[start : start + columns]:
            picture = as_picture(image)
            height = max(1, round(picture.height * cell_width / picture.width))
            row.append(picture.resize((cell_width, height), Image.Resampling.LANCZOS))
        rows.append((row, headings[start : start + columns]))
    count = min(columns, len(pictures))
    heights = [
        max(picture.height for picture in row) + (line if any(names) else 0) for row, names in rows
    ]
    size = count * (cell_width + gap) + gap, title_line + sum(heights) + (len(rows) + 1) * gap
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    y = gap
    if title:
        pen.text(
            (gap, y),
            _shorten(title, title_font, sheet.width - 2 * gap),
            fill="black",
            font=title_font,
        )
        y += title_line
    for (row, names), height in zip(rows, heights, strict=True):
        for column, (picture, name) in enumerate(zip(row, names, strict=True)):
            x = gap + column * (cell_width + gap)
            pen.text((x, y), _shorten(name, font, cell_width), fill=(40, 40, 40), font=font)
            sheet.paste(picture, (x, y + (line if any(names) else 0)))
        y += height + gap
    return sheet


def _shorten(text: str, font: Font, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels."""
    text = _printable(text, font)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."

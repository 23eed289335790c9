"""Pictures: exact pixels of boxes and masks, tags inside the image, all sizes and kinds of
image."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmaskrcnn import draw
from dmaskrcnn.data.packed_masks import NOTHING, Crop
from dmaskrcnn.data.sample import Annotations
from dmaskrcnn.detections import Detections
from dmaskrcnn.draw import (
    PALETTE,
    as_picture,
    contact_sheet,
    draw_truth,
    instance_colours,
    paint_mask,
    pixel_corners,
)
from dmaskrcnn.errors import UserError
from dmaskrcnn.tags import Lettering

CLASSES = ("person", "car")


def detections(
    boxes: list[list[float]], height: int, width: int, masked: bool = False
) -> Detections:
    n = len(boxes)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(n, 4)
    masks = torch.zeros(n, height, width, dtype=torch.bool)
    if masked:
        for mask, (x1, y1, x2, y2) in zip(masks, corners.int().tolist(), strict=True):
            mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
    return Detections(
        corners, torch.zeros(n, dtype=torch.int64), torch.linspace(1, 0.5, n), masks, CLASSES
    )


def changed(picture: Image.Image, before: int = 0) -> np.ndarray:
    return (np.asarray(picture) != before).any(axis=2)


def without_tags(monkeypatch) -> None:
    monkeypatch.setattr(draw, "place_tags", lambda *_: [])


def test_nothing_found_leaves_the_picture_as_it_is():
    image = torch.randint(0, 256, (3, 30, 40), dtype=torch.uint8)
    picture = Detections.empty(30, 40, CLASSES).draw(image)
    np.testing.assert_array_equal(np.asarray(picture), image.permute(1, 2, 0).numpy())


def test_the_input_picture_is_not_drawn_on():
    image = Image.new("RGB", (40, 30))
    detections([[5, 5, 20, 20]], 30, 40, masked=True).draw(image)
    assert not changed(image).any()


def test_a_box_is_drawn_on_its_outermost_pixels(monkeypatch):
    without_tags(monkeypatch)
    picture = detections([[2, 3, 10, 12]], 30, 40).draw(torch.zeros(3, 30, 40))
    expected = np.zeros((30, 40), dtype=bool)
    expected[3:12, 2:10] = True
    expected[4:11, 3:9] = False
    np.testing.assert_array_equal(changed(picture), expected)
    assert picture.getpixel((2, 3)) == PALETTE[0]


def test_a_box_over_the_whole_image_is_visible_on_all_sides(monkeypatch):
    without_tags(monkeypatch)
    drawn = changed(detections([[0, 0, 40, 30]], 30, 40).draw(torch.zeros(3, 30, 40)))
    expected = np.ones((30, 40), dtype=bool)
    expected[1:-1, 1:-1] = False
    np.testing.assert_array_equal(drawn, expected)


def test_corners_of_odd_boxes_lie_in_the_image():
    boxes = torch.tensor(
        [
            [-5.0, -5, 900, 900],
            [3, 3, 3, 3],
            [50, 60, 70, 80],
            [9, 9, 2, 2],
            [float("nan"), 0, float("inf"), 4],
        ]
    )
    for left, top, right, bottom in pixel_corners(boxes, 30, 40):
        assert 0 <= left <= right < 40
        assert 0 <= top <= bottom < 30
    assert pixel_corners(boxes, 30, 40)[0] == (0, 0, 39, 29)
    assert pixel_corners(torch.tensor([[1.4, 1.6, 7.4, 7.6]]), 30, 40) == [(1, 2, 6, 7)]
    assert pixel_corners(torch.zeros(0, 4), 30, 40) == []


@pytest.mark.parametrize("contour", [1, 2, 5])
def test_a_mask_colours_its_own_pixels_and_no_others(contour):
    y, x = np.mgrid[:60, :80]
    mask = (x - 30) ** 2 + (y - 28) ** 2 < 20**2
    canvas = np.zeros((60, 80, 3), dtype=np.uint8)
    paint_mask(canvas, Crop(0, 0, mask), (200, 100, 50), contour)
    np.testing.assert_array_equal((canvas > 0).all(axis=2), mask)
    full = (canvas == (200, 100, 50)).all(axis=2)
    distance = 20 - np.sqrt((x - 30) ** 2 + (y - 28) ** 2)  # from the edge, inwards
    assert full[mask & (distance < contour - 0.5)].all()
    assert not full[distance > contour + 1.5].any()
    assert tuple(canvas[28, 30]) == tuple(round(v * draw.MASK_OPACITY) for v in (200, 100, 50))


def test_a_mask_at_the_edge_of_the_image_has_a_closed_contour():
    canvas = np.zeros((6, 6, 3), dtype=np.uint8)
    paint_mask(canvas, Crop(0, 0, np.ones((6, 6), dtype=bool)), (255, 255, 255), 1)
    full = (canvas == 255).all(axis=2)
    assert full.sum() == 20
    assert not full[1:-1, 1:-1].any()


def test_an_empty_mask_draws_nothing():
    canvas = np.zeros((6, 6, 3), dtype=np.uint8)
    paint_mask(canvas, NOTHING, (255, 255, 255), 1)
    assert not canvas.any()


def test_small_objects_are_drawn_over_large_ones(monkeypatch):
    without_tags(monkeypatch)
    for boxes in ([[0, 0, 40, 30], [10, 10, 20, 20]], [[10, 10, 20, 20], [0, 0, 40, 30]]):
        found = detections(boxes, 30, 40, masked=True)
        picture = found.draw(torch.zeros(3, 30, 40))
        assert (
            picture.getpixel((10, 15))
            == instance_colours(found.labels)[boxes.index([10, 10, 20, 20])]
        )


def test_hue_is_the_class_and_instances_differ():
    labels = torch.tensor([0, 1, 0, 0, 1])
    colours = instance_colours(labels)
    assert colours[0] == PALETTE[0]
    assert colours[1] == PALETTE[1]
    assert len(set(colours)) == 5
    assert len({instance_colours(torch.tensor([label]))[0] for label in range(20)}) == 20
    assert all(
        0 <= value <= 255 for colour in instance_colours(torch.arange(91)) for value in colour
    )


def test_the_text_lies_on_its_tag_and_is_readable():
    """The tag sits on its box; ink and ground have a contrast of about WCAG's 4.5 for every colour
    of the palette."""
    for label in range(7):
        found = detections([[20, 60, 60, 90]], 200, 300)
        found.labels[:] = label
        found.classes = tuple("apqgjklmn")
        before = torch.full((3, 200, 300), 0.5)
        rows, columns = np.nonzero(changed(found.draw(before), 128))
        letters = Lettering(11)
        width, height = letters.width(f"{found.classes[label]} 1.00"), letters.height
        assert (columns.min(), rows.min()) == (20, 60 - height)
        picture = (
            np.asarray(found.draw(before))[60 - height : 60, 20 : 20 + width].reshape(-1, 3) / 255
        )
        luminance = ((picture + 0.055) / 1.055) ** 2.4 @ [0.2126, 0.7152, 0.0722]
        assert (luminance.max() + 0.05) / (luminance.min() + 0.05) > 4.4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (1, 300), (300, 1)])
def test_images_of_a_few_pixels(height, width):
    picture = detections([[0, 0, width, height]] * 3, height, width, masked=True).draw(
        torch.zeros(3, height, width)
    )
    assert picture.size == (width, height)
    assert changed(picture).any()


def test_lines_and_letters_grow_with_the_image(monkeypatch):
    without_tags(monkeypatch)
    widths = []
    for scale in (1, 12):
        height, width = 240 * scale, 320 * scale
        box = [width * 0.25, height * 0.25, width * 0.75, height * 0.75]
        row = changed(
            detections([box], height, width).draw(np.zeros((height, width, 3), np.uint8))
        )[height // 2]
        widths.append(row.sum() / 2)
    assert widths[0] == 1
    assert 4 <= widths[1] <= 8


def test_every_form_of_image_gives_the_same_picture():
    array = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    for image in (
        array,
        tensor,
        tensor.contiguous(),
        tensor / 255,
        array / 255,
        Image.fromarray(array),
        array.transpose(2, 0, 1),
    ):
        np.testing.assert_array_equal(np.asarray(as_picture(image)), array)
    grey = array[:, :, 0]
    for image in (
        grey,
        grey[..., None],
        torch.from_numpy(grey.copy()),
        torch.from_numpy(grey.copy())[None],
        Image.fromarray(grey),
    ):
        np.testing.assert_array_equal(np.asarray(as_picture(image)), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(4, 5, 5),
        torch.zeros(2, 3, 5, 5),
        torch.zeros(3, 0, 5),
        torch.zeros(3, 5, 5).long(),
    ],
)
def test_other_forms_are_refused(image):
    with pytest.raises(UserError, match="image: expected"):
        as_picture(image)


def test_masks_of_another_size_are_refused():
    with pytest.raises(UserError, match="masks are 10×10"):
        detections([[0, 0, 5, 5]], 10, 10).draw(torch.zeros(3, 10, 12))


def test_truth_is_drawn_with_and_without_masks(monkeypatch):
    texts = []
    monkeypatch.setattr(Lettering, "draw", lambda _, pen, tag: texts.append(tag.text))
    masks = torch.zeros(2, 100, 300, dtype=torch.bool)
    masks[0, 10:40, 10:40] = True
    flags = torch.tensor([True, False])
    boxes = torch.tensor([[10.0, 10, 40, 40], [60, 60, 90, 90]])
    objects = Annotations(
        boxes,
        torch.tensor([1, 0]),
        masks,
        flags,
        torch.tensor([False, True]),
        torch.tensor([True, False]),
    )
    drawn = changed(draw_truth(torch.zeros(3, 100, 300), objects, CLASSES))
    assert drawn[10:40, 10:40].all()
    assert not drawn[61:89, 61:89].any()
    assert sorted(texts) == ["car (difficult)", "person (crowd)"]
    assert not changed(draw_truth(torch.zeros(3, 9, 9), Annotations.empty(9, 9), CLASSES)).any()


def test_contact_sheet_places_pictures_row_by_row():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255), (0, 255, 255)]
    pictures = [Image.new("RGB", (60, 40), colour) for colour in colours]
    sheet = contact_sheet(pictures, 3, cell_width=120)
    gap = 4
    assert sheet.size == (3 * 120 + 4 * gap, 2 * 80 + 3 * gap)
    for index, colour in enumerate(colours):
        x, y = gap + (index % 3) * (120 + gap), gap + index // 3 * (80 + gap)
        assert sheet.crop((x, y, x + 120, y + 80)).getcolors() == [(120 * 80, colour)]
    assert sheet.getpixel((sheet.width - 10, sheet.height - 10)) == (255, 255, 255)


def test_contact_sheet_captions_and_title_add_room_and_stay_in_their_cell():
    pictures = [Image.new("RGB", (60, 40), "red")] * 4
    plain = contact_sheet(pictures, 2, cell_width=120)
    heads = contact_sheet(pictures, 2, ("clear " * 40, ""), cell_width=120)
    each = contact_sheet(pictures, 2, ("a", "b", "c", "d"), "Title", cell_width=120)
    assert plain.height < heads.height < each.height
    right_cell = np.asarray(heads)[: heads.height - plain.height, 4 + 120 :]
    assert (right_cell == 255).all()
    assert contact_sheet([torch.zeros(3, 5, 5)], 4, ("a", "b", "c", "d")).width < 500


def test_contact_sheet_refuses_wrong_numbers():
    picture = Image.new("RGB", (6, 4))
    for pictures, columns, captions in (
        ([], 1, ()),
        ([picture], 0, ()),
        ([picture] * 4, 2, ("a", "b", "c")),
    ):
        with pytest.raises(ValueError, match="expected"):
            contact_sheet(pictures, columns, captions)

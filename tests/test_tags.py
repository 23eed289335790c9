"""Name tags: inside the image, clear of each other."""

import numpy as np
import pytest
import torch

from dmaskrcnn.draw import pixel_corners
from dmaskrcnn.tags import Lettering, place_tags


@pytest.mark.parametrize(
    ("height", "width"), [(240, 320), (480, 640), (3000, 4000), (60, 600), (600, 60)]
)
def test_tags_stay_inside_the_image(height, width):
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(25, 2, 2, generator=generator) * torch.tensor([width, height]) * 1.2 - 5
    boxes = torch.cat([points.amin(1), points.amax(1)], dim=1)
    corners = pixel_corners(boxes, height, width)
    letters = Lettering(max(11, height // 46))
    tags = place_tags(
        corners, [("person 0.99", "person")] * 25, [(0, 0, 0)] * 25, letters, height, width
    )
    assert len(tags) == 25
    for tag in tags:
        assert 0 <= tag.left < tag.right <= width
        assert 0 <= tag.top < tag.bottom <= height


def test_tags_avoid_each_other_where_there_is_room():
    letters = Lettering(12)
    corners = [
        (100, 100, 200, 200),
        (102, 101, 198, 205),
        (100, 98, 210, 199),
        (90, 100, 190, 190),
        (101, 104, 200, 200),
    ]
    tags = place_tags(corners, [("car 0.50",)] * 5, [(0, 0, 0)] * 5, letters, 400, 400)
    assert tags[0].bottom == 100  # directly above its box
    assert tags[0].left == 100
    taken = np.zeros((400, 400), dtype=int)
    for tag in tags:
        taken[tag.top : tag.bottom, tag.left : tag.right] += 1
    assert taken.max() == 1


def test_a_tag_too_wide_loses_its_score_and_then_gives_way():
    letters = Lettering(12)
    short, high = letters.width("person"), letters.height
    (tag,) = place_tags(
        [(0, 0, 5, 5)], [("person 0.50", "person")], [(0, 0, 0)], letters, high, short
    )
    assert tag.text == "person"
    assert (
        place_tags(
            [(0, 0, 5, 5)], [("person 0.50", "person")], [(0, 0, 0)], letters, high, short - 1
        )
        == []
    )
    assert (
        place_tags([(0, 0, 5, 5)], [("person 0.50", "person")], [(0, 0, 0)], letters, high - 1, 500)
        == []
    )

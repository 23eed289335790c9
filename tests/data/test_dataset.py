"""What stays with a data set: which pictures are its own, and what holds for those chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data_files import coco_object, write_coco, write_image

from dmaskrcnn.data import open_dataset, open_images
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.images.dehaze import dehaze_images


def test_what_this_project_notes_beside_pictures_is_no_coco(tmp_path: Path) -> None:
    """The index of `dehaze` and `predict` names images, too."""
    write_image(tmp_path / "in" / "a.png")
    dehaze_images(Dehazer("dark-channel"), [tmp_path / "in"], tmp_path / "out")
    assert (tmp_path / "out" / "dehazed.json").is_file()
    assert open_images(tmp_path / "out").image_ids == ["a"]
    assert not open_dataset(tmp_path / "out").labelled


def test_a_choice_of_pictures_keeps_what_holds_for_them(tmp_path: Path) -> None:
    """A picture that is left out turned all others, whose boxes lie in them as they are stored."""
    first = write_coco(tmp_path / "a", [coco_object(1), coco_object(2, image=2)])
    second = write_coco(tmp_path / "b", [coco_object(1, image=2)])
    for picture in first.parent.glob("images/*.png"):
        write_image(picture, orientation=3)
    data = open_dataset(first, second, orientation="stored")
    chosen = data.select(np.array([False, True, True, True]))
    assert chosen.origins == ((first, 1), (second, 2))
    assert chosen.notes == data.notes
    assert [len(chosen.annotations(i)) for i in range(3)] == [1, 0, 1]
    np.testing.assert_array_equal(chosen.load(0).image, data.load(1).image)
    assert chosen.image_ids == data.image_ids[1:]

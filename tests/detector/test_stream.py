"""Streams of pictures: one batch in memory, whatever the pictures are."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from dmaskrcnn.detector import inference
from dmaskrcnn.errors import UserError


def test_one_batch_of_pictures_is_in_memory(detector):
    alive, most, count = weakref.WeakSet(), 0, -1

    class Counted(np.ndarray):
        __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    def pictures():
        for number in range(20):
            picture = np.full((20 + number, 30, 3), 100, np.uint8).view(Counted)
            alive.add(picture)
            yield picture

    for count, found in enumerate(detector.stream(pictures(), 0.0, batch_size=3)):
        gc.collect()
        most = max(most, len(alive))
        assert found.height == 20 + count
        assert found.image is None
    assert count == 19
    assert 1 <= most <= 4  # a batch, and the one that the generator holds


def test_a_list_goes_through_batches_and_results_keep_their_order(detector, image, monkeypatch):
    sizes = []
    normalise = detector.normalise
    monkeypatch.setattr(
        detector, "normalise", lambda batch: sizes.append(len(batch)) or normalise(batch)
    )
    images = [image, image[:, :30], image[:, :, :40], image[:, :50, :50], image]
    found = detector.predict(images, 0.0, batch_size=2)
    assert sizes == [2, 2, 1]
    assert [(one.height, one.width) for one in found] == [tuple(i.shape[1:]) for i in images]


def test_paths_are_remembered_and_a_picture_alone(detector, image, tmp_path):
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    (of_folder,) = detector.predict(tmp_path, 0.0)
    (of_pattern,) = detector.predict(str(tmp_path / "*.png"), 0.0)
    assert of_folder.image == of_pattern.image == tmp_path / "a.png"
    bgr = image.permute(1, 2, 0).numpy()[:, :, ::-1]
    alone = detector.predict(bgr, 0.0, channels="bgr")
    assert torch.equal(alone.image, image)
    assert alone.above(0.9).image is alone.image
    torch.testing.assert_close(alone.boxes, of_folder.boxes)


def test_errors_name_the_place(detector, image):
    with pytest.raises(UserError, match="image 1: expected"):
        detector.predict([image, np.zeros((4, 4, 5), np.uint8)])
    for options in ({"threshold": 2}, {"batch_size": 0}, {"tiles": 3}):
        with pytest.raises(UserError):
            detector.stream([image], **options)


def test_a_cpu_looks_at_large_pictures_in_parts(detector, image, monkeypatch):
    images = [image, image.flip(1), image[:, :32], image.flip(2), image]
    together = detector.predict(images, 0.0, batch_size=5)
    sizes = []
    normalise = detector.normalise
    monkeypatch.setattr(
        detector, "normalise", lambda batch: sizes.append(len(batch)) or normalise(batch)
    )
    monkeypatch.setattr(inference, "AT_ONCE", 2 * 64 * 96)
    found = detector.predict(images, 0.0, batch_size=5)
    assert sizes == [2, 2, 1]
    monkeypatch.setattr(inference, "AT_ONCE", 1)
    alone = detector.predict(images, 0.0, batch_size=5)
    assert sizes[3:] == [1] * 5
    assert [(one.height, one.width) for one in found] == [tuple(i.shape[1:]) for i in images]
    for place in (0, 1, 3, 4):  # not the one that is padded to the size of others
        whole = together[place]
        for parts in (found[place], alone[place]):
            torch.testing.assert_close(parts.boxes, whole.boxes, atol=1e-3, rtol=1e-5)
            torch.testing.assert_close(parts.scores, whole.scores, atol=1e-6, rtol=1e-5)
            assert torch.equal(parts.labels, whole.labels)

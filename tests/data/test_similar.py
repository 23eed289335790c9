"""Pictures that are there twice, and pictures that look nearly the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmaskrcnn.data import inspect, look_alikes, open_images, same_images, similar, similar_images
from dmaskrcnn.data.similar import content_keys


def street(seed: int, shift: int = 0, light: float = 1.0) -> Image.Image:
    """Smooth random shapes, 320 × 200, of which a camera sees a part."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 200, (14, 20), dtype=np.uint8))
    wide = coarse.resize((360, 220), Image.Resampling.BICUBIC)
    part = np.asarray(wide.crop((shift, 10, shift + 320, 210)), dtype=np.float32)
    noisy = part * light + rng.normal(0, 4, part.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert("RGB")


def test_frames_are_found_and_other_streets_are_not(tmp_path: Path):
    pictures = {
        "a0.jpg": street(0),
        "a1.jpg": street(0, shift=3),
        "b.png": street(1),
        "a2.png": street(0, light=1.2).resize((640, 400)),
        "c.jpg": street(2),
        "b1.jpg": street(1, light=0.8),
        "flat.png": Image.new("RGB", (64, 48), (200, 200, 200)),
        "flat too.png": Image.new("RGB", (64, 48), (200, 200, 201)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "a0.jpg").read_bytes()[:100])
    paths = [tmp_path / name for name in (*pictures, "broken.jpg", "gone.jpg")]
    assert similar_images(paths).tolist() == [0, 0, 2, 0, 4, 2, 6, 7, 8, 9]
    assert similar_images([]).tolist() == []


def test_frames_are_joined_by_those_between(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A camera that moves sees another place in the end, but step by step."""
    paths = [tmp_path / f"{i:02}.png" for i in range(12)]
    for i, path in enumerate(paths):
        street(0, shift=3 * i).save(path)
    assert similar_images([paths[0], paths[-1]]).tolist() == [0, 1]
    assert similar_images(paths).tolist() == [0] * 12
    monkeypatch.setattr(similar, "TOGETHER", 5)  # a long list: neighbours alone
    assert similar_images(paths).tolist() == [0] * 5 + [5] * 5 + [10] * 2


def test_all_files_of_the_same_content_are_found(tmp_path: Path):
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for i in range(200):  # all of one size in bytes
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a" / f"{i:03}.bmp")
        if i % 40 == 3:
            shutil.copy(tmp_path / "a" / f"{i:03}.bmp", tmp_path / "b" / f"other{i:03}.bmp")
        else:
            Image.fromarray(255 - pixels).save(tmp_path / "b" / f"{i:03}.bmp")
    a, b = open_images(tmp_path / "a"), open_images(tmp_path / "b")
    found = [(Path(one).name, Path(other).name) for one, other in same_images(a, b)]
    assert found == [(f"{i:03}.bmp", f"other{i:03}.bmp") for i in range(3, 200, 40)]


def test_only_files_of_one_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "short").write_bytes(b"12")
    (tmp_path / "long").write_bytes(b"123")
    os.link(tmp_path / "long", tmp_path / "link")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"read {path}"))
    gone, short = tmp_path / "gone", tmp_path / "short"
    keys = content_keys([short, gone, short, tmp_path / "long", gone])
    assert keys[0] == keys[2]
    assert keys[1] == keys[4]
    assert len(set(keys)) == 3


def test_copies_that_were_saved_anew_are_found_in_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for folder, seeds in (("a", (0, 1, 2)), ("b", (3, 4))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            street(seed).save(tmp_path / folder / f"{seed}.png")
    street(1).resize((160, 100)).save(tmp_path / "b" / "again.jpg", quality=60)
    street(2, light=1.2).save(tmp_path / "b" / "2.webp")
    a, b = (open_images(tmp_path / folder) for folder in ("a", "b"))
    assert same_images(a, b) == []
    both = [
        (str(tmp_path / "a" / x), str(tmp_path / "b" / y))
        for x, y in (("2.png", "2.webp"), ("1.png", "again.jpg"))
    ]
    assert look_alikes(a, b) == both
    monkeypatch.setattr(similar, "TOGETHER", 2)  # a large set: what bears the same name
    assert look_alikes(a, b) == both[:1]


def test_inspect_counts_frames_of_one_scene(tmp_path: Path):
    for shift in range(3):
        street(0, shift=3 * shift).save(tmp_path / f"{shift}.png")
    street(1).save(tmp_path / "other.png")
    shutil.copy(tmp_path / "other.png", tmp_path / "same.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:100])
    notes = {note.kind: note.message for note in inspect(tmp_path).notes}
    assert (
        "2 of 5 pictures look nearly the same as one before (such as 1.png and 0.png)"
        in (notes["near-duplicates"])
    )
    assert "duplicate image" in notes

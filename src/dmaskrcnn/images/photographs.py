"""Clear photographs for the training of a dehazer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from dmaskrcnn.data.image import decode_image, list_images
from dmaskrcnn.dehazing.synthesis import SIZE, Clear
from dmaskrcnn.errors import UserError, printable


def photographs(folders: Sequence[Path], progress: bool = True) -> Iterator[Clear]:
    """The pictures in folders, their shorter side reduced to twice the training size; unreadable
    ones are named and left out.

    Raises:
        UserError: a folder is missing or no picture in it can be read.
    """
    for folder in folders:
        files = list_images(folder) if folder.is_dir() else []
        readable = 0
        for file in tqdm(
            files,
            desc=f"reading {folder.name}",
            unit="image",
            disable=None if progress else True,  # None: hidden where stderr is no terminal
            leave=False,
        ):
            try:
                image = decode_image(file)
            except UserError as error:
                tqdm.write(printable(f"skipped {error}"))
                continue
            whole = Image.fromarray(image.permute(1, 2, 0).numpy())
            factor = max(2 * SIZE[0] / whole.height, 2 * SIZE[1] / whole.width)
            size = (round(whole.width * factor), round(whole.height * factor))
            yield Clear(np.asarray(whole.resize(size, Image.Resampling.BILINEAR)), None)
            readable += 1
        if not readable:
            raise UserError(f"{folder}: no readable pictures; give a folder of clear photographs")

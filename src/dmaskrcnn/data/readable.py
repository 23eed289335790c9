"""Pictures that cannot be read: one broken frame of a camera ends no training."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from dmaskrcnn.data.dataset import Dataset
from dmaskrcnn.data.image import check_header
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.errors import UserError

_log = logging.getLogger(__name__)
NAMED = 5  # broken pictures that a message names
# Threads that look at headers: a header takes about 0.2 ms from a local disk, where the interpreter
# is what is waited for, and some ms from one on the network.
READERS = 8


def check_headers(data: Dataset, drop_invalid: bool, decode: bool = False) -> Dataset:
    """The images whose headers can be read, and are of the size that the annotations state.

    Args:
        data: the images.
        drop_invalid: leave the others out, with one warning that names them.
        decode: look at the whole pictures, too, not at their headers alone.

    Raises:
        UserError: there are others, or nothing else.
    """
    broken = broken_headers(data) | (broken_pictures(data, range(len(data))) if decode else {})
    if not broken:
        return data
    reasons = list(broken.values())
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    if not drop_invalid:
        raise UserError(f"{reasons[0]}, or leave such out with --drop-invalid{more}")
    if len(broken) == len(data):
        raise UserError(f"{reasons[0]}{more}: no picture is left")
    _warn_left_out(broken, len(data))
    kept = np.ones(len(data), dtype=bool)
    kept[list(broken)] = False
    return data.select(kept)


def broken_headers(data: Dataset) -> dict[int, str]:
    """By the number of the image, why its header cannot be read, or that it is of another size than
    stated: a line with file and remedy."""

    def look(index: int) -> str:
        try:
            check_header(data.paths[index], data.size(index) if data.labelled else None)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(READERS) as pool:
        looks = tqdm(
            pool.map(look, range(len(data))),
            "looking at pictures",
            len(data),
            leave=False,
            delay=2,
            disable=not sys.stderr.isatty(),
        )
        return {index: reason for index, reason in enumerate(looks) if reason}


def broken_pictures(data: Dataset, indices: Sequence[int]) -> dict[int, str]:
    """By the number of the image, why it cannot be decoded; of these images."""

    def decode(index: int) -> str:
        try:
            data.load(index)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = tqdm(pool.map(decode, indices), "decoding", len(indices), leave=False, disable=None)
        return {index: reason for index, reason in zip(indices, looks, strict=True) if reason}


def decodable(data: Dataset, indices: Sequence[int]) -> list[int]:
    """Those of these images that can be decoded, with one warning that names the others."""
    if broken := broken_pictures(data, indices):
        _warn_left_out(broken, len(indices))
    return [index for index in indices if index not in broken]


def _warn_left_out(broken: Mapping[int, str], of: int) -> None:
    named = "; ".join(list(broken.values())[:NAMED]) + (" …" if len(broken) > NAMED else "")
    _log.warning("left out: %d of %d pictures: %s", len(broken), of, named)


def readable(data: Dataset, order: Iterable[int]) -> Iterator[Sample]:
    """The images of these numbers, decoded, without those that cannot be. Raises UserError where
    none can."""
    none, last = True, None
    for index in order:
        try:
            sample = data.load(index)
        except UserError as error:
            last = error
            continue
        none = False
        yield sample
    if none and last is not None:
        raise last

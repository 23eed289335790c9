"""Every reader of files, on valid files that were damaged at random: it reads them, or refuses them
with one line. No other exception, no warning (pytest makes it an exception), no hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import Damage
from fuzz_cases import PICTURES, READERS, picture

from dmaskrcnn.errors import UserError

SECONDS = 3.0  # for each reader: some hundred files
AT_LEAST = 20  # files, on however slow a machine


def damage(path: Path, how: Damage, read: Callable[[], object]) -> None:
    """Read the file whole, then damaged again and again."""
    whole = path.read_bytes()
    read()
    end, chance = time.monotonic() + SECONDS, random.Random(0)
    number = 0
    while number < AT_LEAST or (time.monotonic() < end and number < 400):
        number += 1
        path.unlink()
        path.write_bytes(how(chance, whole))
        began = time.monotonic()
        said = "one line"
        try:
            read()
        except UserError as error:
            said = str(error)
        except Exception as error:
            kept = path.read_bytes()[:2000]
            raise AssertionError(f"damage {number}: {error!r} for {kept!r}") from error
        assert len(said.splitlines()) == 1, said
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name: str, run: Path, tmp_path: Path):
    needs_run = name in ("description", "weights")
    damage(*READERS[name](tmp_path, run) if needs_run else READERS[name](tmp_path))


# what a picture's library warns of is not for the reader of a picture; the command line hides it
@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("suffix", PICTURES)
def test_damaged_pictures(suffix: str, tmp_path: Path):
    damage(*picture(tmp_path, suffix))

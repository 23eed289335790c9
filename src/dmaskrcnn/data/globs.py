"""Patterns such as ``cams/*/2026*.jpg``, which a shell leaves alone when they are quoted."""

from __future__ import annotations

import os
from glob import has_magic
from pathlib import Path

from dmaskrcnn.data.image import is_image, list_images
from dmaskrcnn.errors import UserError


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path has one of ``* ? [``, and is not the name of something that exists."""
    return has_magic(os.fspath(path)) and not os.path.lexists(path)


def match(pattern: str | os.PathLike[str]) -> tuple[Path, list[Path]]:
    """The pictures that a pattern matches, and those in the folders that it matches.

    Args:
        pattern: as of `matches`.

    Returns:
        The folder in which the pattern is looked for, and the pictures, ordered.

    Raises:
        UserError: nothing matches, or nothing that is a picture by its name.
    """
    root, found = matches(pattern)
    pictures = {path for path in found if path.is_file() and is_image(path)}
    pictures |= {picture for path in found if path.is_dir() for picture in list_images(path)}
    if not pictures:
        what = f"none of the {len(found)} matches is a picture" if found else "nothing matches it"
        raise UserError(f"{pattern}: {what}; correct the pattern")
    return root, sorted(pictures, key=lambda path: path.relative_to(root).as_posix())


def matches(pattern: str | os.PathLike[str]) -> tuple[Path, list[Path]]:
    """The files and folders that a pattern matches.

    Args:
        pattern: ``*``, ``?`` and ``[…]`` stand for part of a name, ``**`` for any folders. What is
            hidden is found by patterns that spell out a dot; ``**`` follows no links.

    Returns:
        The folder in which the pattern is looked for (all before its first sign), and what matches,
        in any order.

    Raises:
        UserError: it is no pattern.
    """
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if has_magic(part))
    root, rest = Path(*parts[:first]), os.path.join(*parts[first:])
    dots = any(part.startswith(".") for part in parts[first:])
    try:
        return root, [
            path
            for path in root.glob(rest)
            if dots or not any(part.startswith(".") for part in path.relative_to(root).parts)
        ]
    except (OSError, ValueError) as error:
        raise UserError(f"{pattern}: is no pattern ({error}); correct it") from error

"""A JSON object with one long list, read a part of the list at a time, so that memory holds no more
of it than that."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

PART = 1 << 23  # bytes of the list that are parsed at once
_CUT = re.compile(rb"\}\s*,\s*(?=\{)")
_LAST = re.compile(rb"\}\s*(?=\])")


@contextmanager
def uncollected() -> Iterator[None]:
    """Without looking for circles of objects: there are none in JSON, and it takes from a fifth to
    most of the time of reading it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@uncollected()
def parse_in_parts(
    data: bytes, key: str, take: Callable[[list[Any]], object], part: int = PART
) -> dict[str, Any] | None:
    """Call ``take`` with one part of the object's list ``key`` after the other.

    A text is cut where an object of the list ends. Whether one does there, parsing tells: what
    comes before is a list when ``]`` is put behind it, and nothing else is. The list, which is
    nearly all of the text, is parsed by msgspec, which takes a third of the time of Python's parser
    and no NaN.

    Returns:
        The object without the list; None, whatever was taken so far, for anything that is not read
        like this: no JSON, no such list of objects, two of them.
    """
    try:
        start, head = _beginning(data, key)
        end = _take_all(data, start, take, part)
        tail = json.loads(b'{"":[' + data[end:])
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None
    tail.pop("")
    return None if key in tail else head | tail


def _beginning(data: bytes, key: str) -> tuple[int, dict[str, Any]]:
    """Where the list begins, behind its bracket, and what the object has before. Raises
    ValueError."""
    name = json.dumps(key).encode()
    for found in re.finditer(re.escape(name) + rb"\s*:\s*\[\s*(?=\{)", data):
        try:
            head = json.loads(data[: found.start()] + b'"":0}')
        except ValueError:  # the key of something inside
            continue
        if head.pop("", None) != 0 or key in head:
            break
        return found.end(), head
    raise ValueError("no such list")


def _take_all(data: bytes, start: int, take: Callable[[list[Any]], object], part: int) -> int:
    """Hand on the list that begins at ``start``; where its closing bracket is. Raises ValueError,
    also where objects hold lists of objects."""
    last = _LAST.search(data, start)
    if last is None:
        raise ValueError("the list does not end")
    while (cut := _CUT.search(data, start + part, last.start() + 1)) is not None:
        take(msgspec.json.decode(b"[" + data[start : cut.start() + 1] + b"]"))
        start = cut.end()
    take(msgspec.json.decode(b"[" + data[start : last.start() + 1] + b"]"))
    return last.end()

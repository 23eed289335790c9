"""Values read from files are checked, not coerced: a number is a number, a flag says yes or no, an
id is an integer or text.

Converters that write every field as text (``"iscrowd": "0"``) lose nothing by it, so decimal text
is read as the number it spells; Python's own ``float("1_0")``, ``bool("0")`` and ``True == 1`` are
no such reading.
"""

from __future__ import annotations

import re
from typing import Any

_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\s*", re.ASCII)
_FLAGS = {"0": False, "false": False, "1": True, "true": True}
# above, neither a double nor JavaScript tells neighbours apart
LARGEST_ID = 2**53


def number(value: Any) -> float | None:
    """A number, or decimal text, as a float (which may be infinite or NaN); None for anything
    else, booleans among it."""
    if isinstance(value, str):
        return float(value) if _DECIMAL.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf")


def numbers(value: Any, count: int | None = None) -> list[float] | None:
    """A list of (``count``) numbers, each as of `number`; None for anything else."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        return None
    found = [number(one) for one in value]
    return None if None in found else found  # pyright: ignore[reportReturnType]


def flag(value: Any) -> bool | None:
    """Yes or no: 0, 1, true or false, as text too; no where nothing is said (None). None for what
    says neither."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return bool(value) if isinstance(value, (int, float)) and value in (0, 1) else None


def identifier(value: Any) -> int | str | None:
    """An id: an integer (1.0 is one in JSON) or text that is not empty; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if abs(value) < LARGEST_ID else None
    return value if isinstance(value, str) and value.strip() else None


def too_large(value: Any) -> str:
    """What to say of an integer that is no `identifier`: it is too large to be told apart; empty
    for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if not LARGEST_ID <= abs(value) < float("inf"):
        return ""
    return "too large (above 2^53 not every program tells an id from its neighbours): text works"


def shown(value: Any) -> str:
    """A value for a message: short, on one line, with its type where that is the point."""
    if value is None:
        return "missing"
    text = ascii(value)
    return f"{text[:57]}…" if len(text) > 60 else text

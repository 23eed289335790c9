"""Values from YAML and Python turned into the types that a configuration's fields declare, and the
checks of their ranges. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from dmaskrcnn.errors import UserError

NUMBERS: dict[type, str] = {int: "a whole number", float: "a number"}


def flag(name: str) -> str:
    """How a field is called on the command line."""
    return f"--{name.replace('_', '-')}"


def convert(value: Any, kind: Any) -> Any:
    """The value as a field of type ``kind`` holds it: numbers from text (YAML reads 1e-3 as text),
    tuples from lists, a tuple of one from a single value.

    Args:
        value: plain, as YAML or a person in Python gives it.
        kind: bool, int, float, str, `Path`, a Literal, a number or a Literal, or a tuple of these.

    Raises:
        ValueError: it is none of this type; the message tells what was expected.
    """
    if isinstance(value, dict):
        raise ValueError("holds fields of its own instead of a value")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise ValueError(f"{value!r} is unknown; choose one of {choices}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(value, get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return _number_or_word(value, *get_args(kind))
    if value is None or isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is no value")
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value
    if kind in NUMBERS:
        return _number(value, kind)
    # YAML also has dates and bytes; a number may be a name
    if kind in (str, Path) and not isinstance(value, (str, Path, int, float)):
        raise ValueError(f"{value!r} is no text")
    return kind(str(value)) if kind in (str, Path) else value


def _tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if kinds[-1] is ...:
        return tuple(convert(item, kinds[0]) for item in items)
    if len(items) != len(kinds):
        raise ValueError(f"needs {len(kinds)} values, got {len(items)}")
    return tuple(convert(item, kind) for item, kind in zip(items, kinds, strict=True))


def _number(value: Any, kind: type) -> Any:
    whole = kind is int and isinstance(value, float) and not value.is_integer()
    try:
        if isinstance(value, bool) or whole:
            raise ValueError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not {NUMBERS[kind]}") from None


def _number_or_word(value: Any, kind: type, words: Any) -> Any:
    if value in get_args(words):
        return value
    try:
        return convert(value, kind)
    except ValueError as error:
        raise ValueError(f"{error}, nor {' or '.join(get_args(words))}") from None


def plain(value: Any) -> Any:
    """A value as YAML writes it."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def check_above_zero(owner: object, *names: str) -> None:
    """Raises UserError for the first of these fields that is not (nor NaN)."""
    for name in names:
        if not getattr(owner, name) > 0:
            raise UserError(f"{flag(name)} must be above 0, got {getattr(owner, name)}")


def check_not_negative(owner: object, *names: str) -> None:
    """Raises UserError for the first of these fields that is (or NaN), or that is infinite."""
    for name in names:
        if not getattr(owner, name) >= 0:
            raise UserError(f"{flag(name)} must not be negative, got {getattr(owner, name)}")
        if getattr(owner, name) == float("inf"):
            raise UserError(f"{flag(name)} must be finite")


def check_share(owner: object, *names: str, whole: bool = True) -> None:
    """Raises UserError for the first of these fields that is outside [0, 1], or [0, 1) where
    ``whole`` is false."""
    for name in names:
        value = getattr(owner, name)
        if not 0 <= value <= 1 or (value == 1 and not whole):
            raise UserError(f"{flag(name)} must be in [0, 1{']' if whole else ')'}, got {value}")

"""tyro's parsing of the command line, with errors of one line."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

import tyro

from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import flag


def parse(
    kind: Any, arguments: Sequence[str], program: str, description: str = "", default: Any = None
) -> Any:
    """``tyro.cli`` with its boxes around errors folded to one line.

    Args:
        kind: a dataclass, or a union of them annotated with ``tyro.conf.subcommand``.
        arguments: the words after the name of the program.
        program: its name.
        description: what its help begins with.
        default: an object of the kind, whose values are the defaults; otherwise those of the kind.

    Raises:
        UserError: arguments that do not fit.
        SystemExit: 0 after the help was shown.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(
                kind,
                args=arguments,
                prog=program,
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.DisallowNone, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        verbs = {
            word.name: verb.__origin__
            for verb in get_args(kind)
            for word in getattr(verb, "__metadata__", ())
            if hasattr(word, "name")
        }
        verb = f" {arguments[0]}" if arguments[0] in verbs else ""
        text = _one_line(said.getvalue())
        if unknown := re.search(r"Unrecognized options:[\s│]*(--[\w-]+)", said.getvalue()):
            text = f"unknown option {unknown[1]}"
            if near := get_close_matches(unknown[1], _flags(verbs.get(arguments[0], kind)), 1):
                raise UserError(f"{text}; did you mean {near[0]}?") from None
        raise UserError(f"{text}; see {program}{verb} --help") from None


def _flags(kind: Any) -> list[str]:
    """The flags of a dataclass, and of those within it."""
    flags = []
    for of in fields(kind) if is_dataclass(kind) else ():
        inner = get_type_hints(kind)[of.name]
        flags += _flags(inner) if is_dataclass(inner) else [flag(of.name)]
    return flags


def _one_line(box: str) -> str:
    """The text of tyro's box (drawn, or in ASCII a title and rules) up to the first rule, and the
    verbs it lists below that."""
    lines = [
        line.strip(" │") for line in box.splitlines() if line.strip(" │") and line[0] not in "╭╰"
    ]
    sections: list[list[str]] = [[]]
    for line in lines:
        if set(line) <= {"─"} or set(line) == {"-"}:
            sections.append([])
        else:
            sections[-1].append(line)
    said, more, *_ = [*sections[0 if "╭" in box else 1 :], [], []]
    text = " ".join(said)
    if more[:1] and more[0].startswith("Available"):
        text += f" ({' '.join(more)})"
    text = re.sub("'None', |, 'None'", "", text)  # the default of many options, but not to be typed
    return re.sub(" +", " ", text).rstrip(".")

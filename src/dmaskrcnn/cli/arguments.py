"""From the words on the command line to a verb: tyro's parsing with errors of one line, and flags
from a YAML file."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from pathlib import Path
from typing import get_args

import tyro

from dmaskrcnn.config.train import check_fields, read_yaml
from dmaskrcnn.errors import UserError


def parse(verbs: object, arguments: list[str], program: str, description: str) -> object:
    """``tyro.cli`` with its boxes around errors folded to one line.

    Args:
        verbs: a dataclass, or a union of them annotated with ``tyro.conf.subcommand``.
        arguments: the words after the name of the program.
        program: its name.
        description: what its help begins with.

    Raises:
        UserError: arguments that do not fit.
        SystemExit: 0 after the help was shown.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(
                verbs,
                args=arguments,
                prog=program,
                description=description,
                config=(tyro.conf.DisallowNone,),
            )  # type: ignore[call-overload]
    except SystemExit as stop:
        if not stop.code:
            raise
        names = {
            word.name
            for verb in get_args(verbs)
            for word in getattr(verb, "__metadata__", ())
            if hasattr(word, "name")
        }
        verb = f" {arguments[0]}" if arguments[0] in names else ""
        raise UserError(f"{_one_line(said.getvalue())}; see {program}{verb} --help") from None


def _one_line(box: str) -> str:
    """The text of tyro's box (drawn, or in ASCII a title and rules) up to the first rule, and what
    it suggests below that."""
    lines = [
        line.strip(" │") for line in box.splitlines() if line.strip(" │") and line[0] not in "╭╰"
    ]
    sections = [""]
    for line in lines:
        if set(line) <= {"─"} or set(line) == {"-"}:
            sections.append("")
        else:
            sections[-1] += f" {line}"
    text, more, *_ = [*(section.strip() for section in sections[0 if "╭" in box else 1 :]), "", ""]
    if more.startswith(("Available", "Perhaps")):
        text += f" ({more})"
    text = re.sub("'None', |, 'None'", "", text)  # the default of many options, but not to be typed
    return re.sub(" +", " ", text).rstrip(".")


def expand_config(arguments: list[str]) -> list[str]:
    """Replace ``--config FILE`` by the flags that the file stands for."""
    for position, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag != "--config":
            continue
        rest = position + (1 if value else 2)
        if not value and rest > len(arguments):
            raise UserError("--config needs a file")
        before, after = arguments[:position], arguments[rest:]
        return [*before, *_flags(Path(value or arguments[position + 1]), [*before, *after]), *after]
    return arguments


def _flags(file: Path, given: list[str]) -> list[str]:
    values = read_yaml(file)
    check_fields(values, str(file))
    if any(argument.partition("=")[0] in ("--minutes", "--iterations") for argument in given):
        # two ways to say the same: the flag wins over the file
        values |= {"minutes": None, "iterations": None}
    flags: list[str] = []
    for key, value in values.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list):
            flags += [f"--{flag}", *map(str, value)] if value else []
        elif isinstance(value, dict):
            raise UserError(f"{file}: {key}: holds fields of its own instead of a value")
        elif value is not None:
            flags += [f"--{flag}", str(value)]
    return flags

"""The one exception whose message is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The message is one line that names the file, the field and the remedy; the CLI
    prints it and exits with 2."""


def first_line(error: BaseException) -> str:
    """What an exception says, cut to one line; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

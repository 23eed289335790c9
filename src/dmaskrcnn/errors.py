"""The one exception whose message is meant for the person at the keyboard, and how text from
outside is shown to that person."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The message is one line that names the file, the field and the remedy; the CLI
    prints it and exits with 2."""


def check_torch_pair(error: RuntimeError) -> None:
    """What importing torchvision raises beside a torch that it was not built for, said so that it
    can be mended. Raises UserError for that, and nothing for other errors."""
    if "torchvision::nms does not exist" in str(error):
        raise UserError(
            "torch and torchvision are of different builds (one for the CPU and one for CUDA, or "
            "versions that do not belong together); install both anew from one place: "
            "pip install --force-reinstall torch torchvision"
        ) from None


# What a terminal may obey instead of showing: control characters (C0, C1), line separators, marks
# that turn the order of letters round (Unicode TR 36, 2.1); and what is no character: halves of
# pairs of UTF-16, by which Python also names the bytes of a file name that is not UTF-8 (PEP 383).
_CONTROL = (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F))
_CONTROL += (*range(0x2066, 0x206A), *range(0xD800, 0xE000))
_ESCAPED = {code: ascii(chr(code))[1:-1] for code in _CONTROL}
_ESCAPED |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
_ESCAPED_IN_LINES = {code: text for code, text in _ESCAPED.items() if chr(code) not in "\t\n\r"}


def printable(text: str, lines: bool = False) -> str:
    """The text as a terminal may show it, with escapes for what it would obey: on one line, unless
    tabs and ends of ``lines`` are to stay."""
    return text.translate(_ESCAPED_IN_LINES if lines else _ESCAPED)


def first_line(error: BaseException) -> str:
    """What an exception says, cut to one line; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

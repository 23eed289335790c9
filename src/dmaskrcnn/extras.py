"""What installs the libraries of an extra into the environment at hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

# `uv tool install` writes down what was asked for: name, extras, and the folder of a checkout.
RECEIPT = re.compile(
    r'\{ name = "dmaskrcnn(?:-runtime)?"(?:, extras = \[([^\]]*)\])?'
    r'(?:[^}]*(?:directory|editable) = "([^"]*)")?'
)


def install_command(extra: str, of_runtime: str = "") -> str:
    """As a person would type it: pip's, or uv's where uv made the environment, which has no pip
    then.

    Args:
        extra: of ``dmaskrcnn``.
        of_runtime: the extra of ``dmaskrcnn-runtime`` with the same library, where its name is
            another. It is named where that is installed, as ``dmaskrcnn`` would bring torch.
    """
    name = "dmaskrcnn"
    if _version("dmaskrcnn-runtime"):
        name, extra = "dmaskrcnn-runtime", of_runtime or extra
    home = Path(sys.prefix)
    if asked := RECEIPT.search(_text(home / "uv-receipt.toml")):
        extras, checkout = asked.groups()
        wanted = sorted({*re.findall(r"[\w-]+", extras or ""), extra})  # it installs these alone
        # it does not remember which torch
        torch = "UV_TORCH_BACKEND=cpu " if _version("torch").endswith("+cpu") else ""
        return f"{torch}uv tool install '{checkout or name}[{','.join(wanted)}]'"
    uv = "uv " if re.search(r"^uv = ", _text(home / "pyvenv.cfg"), re.M) else ""
    return f"{uv}pip install '{name}[{extra}]'"


def _version(name: str) -> str:
    # here, since every verb imports this file and hardly any asks
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

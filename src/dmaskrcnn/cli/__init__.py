"""The command line: verbs to functions. Imports no torch, so that ``--help`` answers at once."""

from dmaskrcnn.cli.main import main

__all__ = ["main"]

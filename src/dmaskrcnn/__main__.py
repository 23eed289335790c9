"""``python -m dmaskrcnn``: for torchrun, and where the console script is not on the path."""

from __future__ import annotations

from dmaskrcnn.cli.main import main

if __name__ == "__main__":
    main()

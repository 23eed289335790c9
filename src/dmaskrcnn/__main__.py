"""``python -m dmaskrcnn``: for torchrun, and where the console script is not on the path."""

from .cli import main

if __name__ == "__main__":
    main()

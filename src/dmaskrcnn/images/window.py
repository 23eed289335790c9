"""A window that shows pictures one after the other; Python's own Tk draws it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dmaskrcnn.errors import UserError, first_line


class Window:
    """A window. Raises UserError where there is no display, or no Tk."""

    def __init__(self, title: str = "dmaskrcnn") -> None:
        try:
            import tkinter
        except ImportError as error:
            raise UserError(
                "--show needs Tk, which this Python lacks (Debian: apt install python3-tk); leave "
                "--show out"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise UserError(
                f"--show: there is no display ({first_line(error)}); leave --show out"
            ) from error
        self._root.title(title)
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        self._root.bind("q", lambda _: self._close())

    def _close(self) -> None:
        self._open = False

    def show(self, pixels: np.ndarray) -> None:
        """Show a picture, uint8 ``(H, W, 3)``, reduced where the screen is smaller.

        Raises:
            KeyboardInterrupt: the window was closed, or q pressed.
        """
        from PIL import ImageTk

        picture = Image.fromarray(pixels)
        picture.thumbnail((self._root.winfo_screenwidth(), self._root.winfo_screenheight()))
        self._shown = ImageTk.PhotoImage(picture, master=self._root)  # Tk keeps no reference
        self._label.configure(image=self._shown)
        self._root.update()
        if not self._open:
            self._root.destroy()
            raise KeyboardInterrupt

from __future__ import annotations

import threading
import time
from pathlib import Path

from time_shares import Watcher, draw, place

from dmaskrcnn.evaluation.bootstrap import resample_counts


def test_the_place_of_a_thread_is_the_innermost_of_ours():
    assert place(None) == ""
    watcher, end = Watcher(), threading.Event()
    waiting = threading.Thread(target=end.wait)
    waiting.start()
    give_up = time.monotonic() + 60
    while not watcher.seen and time.monotonic() < give_up:
        resample_counts(2000, 200, 0)
    end.set()
    watcher.stop()
    assert set(watcher.seen) == {"evaluation/bootstrap: resample_counts"}
    assert watcher.shares() == [("evaluation/bootstrap: resample_counts", 1.0)]


def test_a_picture_with_a_bar_for_each(tmp_path: Path):
    for name in ("a.svg", "b.svg"):
        draw([("data/rle: decode", 0.75), ("the rest", 0.25)], tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text.count("data/rle: decode") >= 1
    assert "75 %" in text
    assert text == (tmp_path / "b.svg").read_text()
    assert len(text) < 50_000

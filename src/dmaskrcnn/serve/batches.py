"""One thread that runs detectors on the pictures of all callers, as many at once as are waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.images.by_detector import predict_each

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class _Waiting:
    image: Tensor
    detector: Predictor
    threshold: float
    answer: Future[Detections] = field(default_factory=Future)


class Batches:
    """Detection for many callers at once. A detector is called by this one thread alone.

    Args:
        size: pictures per call of a detector; fewer where fewer are waiting: nobody waits for a
            batch to be full.
        seen: told the number of pictures of every batch.
    """

    def __init__(self, size: int, seen: Callable[[int], object] = lambda count: None):
        self._size, self._seen = size, seen
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="detect", daemon=True)
        self._thread.start()

    def submit(self, detector: Predictor, image: Tensor, threshold: float) -> Future[Detections]:
        """The objects in a uint8 ``(3, H, W)`` image with a score of at least the threshold. A
        future that is cancelled before its turn costs nothing."""
        one = _Waiting(image, detector, threshold)
        self._waiting.put(one)
        return one.answer

    def close(self) -> None:
        """Answer all that was submitted, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._size:
                try:
                    following = self._waiting.get_nowait()
                except Empty:
                    break
                if following is None:
                    self._waiting.put(None)  # after this batch
                    break
                batch.append(following)
            if batch := [one for one in batch if one.answer.set_running_or_notify_cancel()]:
                self._seen(len(batch))
                _answer(batch)
            del first, batch  # pictures are large, and the next may come in an hour


def _answer(batch: list[_Waiting]) -> None:
    """Detect, and fulfil the futures; a picture that fails does not take the others with it."""
    try:
        detectors, images = [one.detector for one in batch], [one.image for one in batch]
        found = predict_each(detectors, images, min(one.threshold for one in batch))
    except Exception as error:
        if len(batch) == 1:
            batch[0].answer.set_exception(error)
        else:
            for one in batch:
                _answer([one])
        return
    for one, detections in zip(batch, found, strict=True):
        one.answer.set_result(detections.above(one.threshold))

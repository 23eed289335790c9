"""A whole video on the page: annotated by each run as `dmaskrcnn predict` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from torch import Tensor

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.predict_videos import predict_videos
from dmaskrcnn.images.video_options import VideoOptions
from dmaskrcnn.serve.dropped import dropped_source, open_dropped

MOST_SECONDS = 60  # of a video: minutes of work on a CPU, while others wait for the page


def annotate(
    path: Path,
    runs: Mapping[str, Predictor],
    threshold: float,
    out: Path,
    prepare: Callable[[Tensor], Tensor] = lambda image: image,
    progress: Callable[[float, str], object] = lambda share, said: None,
) -> list[tuple[Path, str]]:
    """An annotated video of each run, with its sound, and a caption.

    Args:
        path: the video.
        runs: detectors by name.
        threshold: the least score of an object, in [0, 1].
        out: a folder to write to.
        prepare: what is done to a frame before a run looks at it.
        progress: told the share that is done, and of what.

    Raises:
        UserError: it is no video, or longer than ``MOST_SECONDS``.
    """
    with closing(open_dropped(path)) as reader:
        length, frames = reader.duration, reader.frames or 0
    if length is not None and length > MOST_SECONDS:
        raise UserError(
            f"{path}: lasts {float(length):.0f} s, and the page takes {MOST_SECONDS} s at most; "
            "cut it, or use dmaskrcnn predict"
        )
    options, videos = VideoOptions(threshold, end=MOST_SECONDS), []
    for number, (name, detector) in enumerate(runs.items()):

        def said(done: int, number: int = number, name: str = name) -> None:
            share = min(1.0, done / frames) if frames else 0.0
            progress((number + share) / len(runs), f"{name}: {done} of {frames or '?'} frames")

        folder = out / str(number)
        looking = _Looking(detector, prepare, said)
        summary = predict_videos(looking, [dropped_source(path)], folder, options, progress=False)
        (entry,) = summary.videos
        caption = f"{name}: {entry['objects']} objects in {entry['frames']} frames"
        videos.append((folder / entry["video"], caption))
    return videos


class _Looking:
    """A detector that tells how many frames it has seen."""

    def __init__(
        self,
        detector: Predictor,
        prepare: Callable[[Tensor], Tensor],
        seen: Callable[[int], object],
    ):
        self._detector, self._prepare, self._seen, self._count = detector, prepare, seen, 0

    def predict(
        self, images: Sequence[Tensor], threshold: float = 0.5, *, best: bool = False
    ) -> list[Detections]:
        """As of `Predictor`."""
        looked_at = [self._prepare(image) for image in images]
        found = self._detector.predict(looked_at, threshold, best=best)
        self._count += len(images)
        self._seen(self._count)
        return found

"""Detects the objects in videos, streams and cameras: an annotated video for each, its detections
as JSON lines and CSV, and one index.

    dmaskrcnn predict RUN road.mp4 rtsp://camera/1 --track --line 0,0.5,1,0.5 --out found

Beside ``road.mp4`` lie ``road.jsonl``, a line for each frame that was looked at ::

    {"frame": 12, "time": 0.48, "width": 640, "height": 480,
     "haze": 0.61,                            see `dmaskrcnn.haze.gauge`
     "detections": [{"class": "car", "score": 0.93, "box": [x1, y1, x2, y2],
                     "mask": {"size": [height, width], "counts": "…"},
                     "track": 3}]}               with --track; null where it is not followed yet

and ``road.csv``, a row for each object. Times are seconds after the beginning of the input.
``videos.json`` says, besides what every index says (see `dmaskrcnn.output_folder`)::

    {"format": "dmaskrcnn predict video 1", "complete": true, "threshold": 0.5, "every": 1,
     "videos": [{"file": "road.mp4", "video": "road.mp4",               null with --no-video
                 "lines": "road.jsonl",
                 "table": "road.csv",
                 "width": 640, "height": 480, "rate": 25.0, "frames": 250, "objects": 412,
                 "complete": true, "notes": [],
                 "dropped": 0, "reopened": 0,                        of a stream
                 "tracks": {"car": 5},                               with --track
                 "crossings": [{"line": [0, 240, 640, 240],          with --line
                                "downwards": {"car": 2}, "upwards": {}}]}],
     "skipped": [{"file": "broken.mp4", "reason": "…"}]}
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.draw import as_picture, draw_objects, shaded
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.images.convert_video import Converted, Result, convert_video
from dmaskrcnn.images.each_video import INDEX, each_video, entry_of, say_notes
from dmaskrcnn.images.jobs import Summary
from dmaskrcnn.images.track import FAINT, Line, Tracker, parse_line
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_files import WholeLines, draw_lines
from dmaskrcnn.images.video_frame import Frame
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.images.video_options import VideoOptions
from dmaskrcnn.output_folder import OutputFolder

VERB = "predict video"
USUAL = VideoOptions()
COLUMNS = ("frame", "time", "class", "score", "x1", "y1", "x2", "y2", "track")


@dataclass
class VideoSummary(Summary):
    """What ``predict_videos`` did; ``images`` are videos. Besides the entries of the index."""

    videos: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        for entry in self.videos:
            lines.append(f"{entry['file']}: {entry['objects']} objects in {entry['frames']} frames")
            if "tracks" in entry:
                lines.append(f"  {_listed(entry['tracks']) or 'nothing'} followed")
            for crossing in entry.get("crossings", ()):
                ends, *ways = crossing.items()
                said = "; ".join(f"{way} {_listed(count) or 'none'}" for way, count in ways)
                lines.append(f"  line {','.join(f'{end:g}' for end in ends[1])}: {said}")
        frames = sum(entry["frames"] for entry in self.videos)
        rate = f"{frames / max(self.seconds, 1e-9):.1f} frames/s"
        return "\n".join([*lines, self.line(f"{self.images} videos, {rate}")])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def predict_videos(
    detector: Predictor,
    sources: Sequence[VideoSource],
    out: Path | str,
    options: VideoOptions = USUAL,
    progress: bool = True,
) -> VideoSummary:
    """Writes an annotated video, JSON lines and a table for every source, and ``videos.json``
    (format: see the module), into ``out``.

    What is interrupted, by Ctrl-C too, leaves videos that can be played, whole lines, and an index
    that says it is incomplete.

    Args:
        detector: finds the objects.
        sources: what to look at, one after the other.
        out: the folder to write to; made where missing. Files that no earlier run of this function
            wrote are never overwritten.
        options: how.
        progress: report progress on stderr.

    Raises:
        UserError: a file that cannot be written, or no video at all can be read.
    """
    output = OutputFolder(Path(out), VERB, INDEX)
    names = [name for s in sources for name in _names(s.name)]
    claimed = output.claim(names, [Path(s.address) for s in sources if s.kind == "file"])
    summary = VideoSummary(output.path)
    content: dict[str, Any] = {"threshold": options.threshold, "every": options.every}
    content["videos"] = summary.videos
    window = _window(options.show)

    def run(number: int, reader: VideoReader) -> None:
        files = claimed[3 * number : 3 * number + 3]
        _Annotation(detector, reader, options).run(output, files, summary.videos, progress, window)

    each_video(sources, output, content, summary, run, options.start, options.end)
    return summary


def _names(name: Path) -> list[Path]:
    """Of the video, its lines and its table; the last part of a name may hold dots."""
    return [name.with_name(name.name + suffix) for suffix in (".mp4", ".jsonl", ".csv")]


def _window(wanted: bool) -> Callable[[np.ndarray], None] | None:
    if not wanted:
        return None
    from dmaskrcnn.images.window import Window

    return Window().show


class _Annotation:
    """One video being annotated."""

    def __init__(self, detector: Predictor, reader: VideoReader, options: VideoOptions):
        self.detector, self.reader, self.options = detector, reader, options
        lines = [parse_line(text, reader.height, reader.width) for text in options.lines]
        rate = float(reader.rate) / options.every
        self.tracker = Tracker(rate, options.threshold, lines) if options.track else None
        self.least = options.threshold * (FAINT if options.track else 1.0)
        self.objects = 0

    def run(
        self,
        output: OutputFolder,
        files: Sequence[Path],
        entries: list[dict[str, Any]],
        progress: bool,
        window: Callable[[np.ndarray], None] | None,
    ) -> None:
        """Write the three files, and an entry for them however this ends."""
        video, lines, table = files
        done, complete = Converted(), False
        for path in files if self.options.video else (lines, table):
            output.wrote(path)
        try:
            with closing(WholeLines(lines)) as self.lines, closing(WholeLines(table)) as self.table:
                self.table.append(_row(COLUMNS))
                convert_video(
                    self.reader,
                    video if self.options.video else None,
                    self.work,
                    done,
                    size=self.options.batch_size,
                    every=self.options.every,
                    verb="predict",
                    progress=progress,
                    show=window,
                )
            complete = True
        finally:
            entries.append(self._entry(output, files, done, complete))
            say_notes(self.reader)

    def _entry(
        self, output: OutputFolder, files: Sequence[Path], done: Converted, complete: bool
    ) -> dict[str, Any]:
        reader = self.reader
        names = [output.name(path) for path in files]
        entry: dict[str, Any] = {"file": str(reader.source)}
        entry |= dict(zip(("video", "lines", "table"), names, strict=True))
        if not self.options.video:
            entry["video"] = None
        entry |= {**entry_of(reader, done, complete), "objects": self.objects}
        if self.tracker is not None:
            entry["tracks"] = self.tracker.counts()
            if self.tracker.lines:
                entry["crossings"] = self.tracker.line_counts()
        return entry

    def work(self, frames: list[Frame]) -> list[Result]:
        """Find and follow the objects in a batch of frames."""
        found = self.detector.predict([frame.image for frame in frames], threshold=self.least)
        return [self._result(*item) for item in zip(frames, found, strict=True)]

    def _result(self, frame: Frame, found: Detections) -> Result:
        found = found.to("cpu")
        tracks: list[int] = []
        tallies: list[tuple[Line, str]] = []
        if self.tracker is not None:
            height, width = frame.pixels.shape[:2]
            scale = (self.reader.width / width, self.reader.height / height)
            tracks = self.tracker.update(found, float(frame.time), scale)
            counts = self.tracker.line_counts()
            for line, count in zip(self.tracker.lines, counts, strict=True):
                said = (f"{sum(count[way].values())} {way}" for way in line.ways)
                tallies.append((line, ", ".join(said)))
        shown = found.scores >= self.options.threshold
        if tracks:
            tracks = [track for track, keep in zip(tracks, shown.tolist(), strict=True) if keep]
        found = found[shown]
        return Result(
            lambda other: self._draw(other, frame, found, tracks, tallies),
            lambda: self._record(frame, found, tracks),
        )

    def _draw(
        self,
        frame: Frame,
        looked_at: Frame,
        found: Detections,
        tracks: list[int],
        tallies: list[tuple[Line, str]],
    ) -> np.ndarray:
        if frame.pixels.shape != looked_at.pixels.shape:  # in between: nothing is known of it
            found, tracks = found[:0], []
        if not (len(found) or tallies):
            return frame.pixels
        if not tracks:
            picture = found.draw(frame.pixels) if len(found) else as_picture(frame.pixels)
        else:
            of_each = zip(tracks, found.names, strict=True)
            names = [f"#{track} {name}" if track else name for track, name in of_each]
            scores = found.scores.tolist()
            captions = [(f"{n} {s:.2f}", n) for n, s in zip(names, scores, strict=True)]
            pairs = zip(found.labels.tolist(), tracks, strict=True)
            colours = [shaded(label, track) for label, track in pairs]
            picture = draw_objects(
                frame.pixels, found.boxes, found.labels, found.packed, captions, colours
            )
        if picture.size == (self.reader.width, self.reader.height):
            draw_lines(picture, tallies)
        return np.asarray(picture)

    def _record(self, frame: Frame, found: Detections, tracks: list[int]) -> None:
        at = round(float(frame.time), 4)
        content = found.to_dict()
        for entry, track in zip(content["detections"], tracks, strict=bool(tracks)):
            entry["track"] = track or None
        haze = round(haziness(frame.pixels), 3)
        line = {"frame": frame.number, "time": at, "haze": haze, **content}
        self.lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        for number, entry in enumerate(content["detections"]):
            track = (tracks[number] or "") if tracks else ""
            self.table.append(
                _row((frame.number, at, entry["class"], entry["score"], *entry["box"], track))
            )
        self.objects += len(found)


def _row(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()

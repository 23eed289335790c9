"""Which object is which from frame to frame, how many of each class there were, and how many
crossed a line. ByteTrack (Zhang et al., ECCV 2022) of the package ``trackers`` links the boxes.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dmaskrcnn.arrays import as_array
from dmaskrcnn.detections import Detections
from dmaskrcnn.errors import UserError
from dmaskrcnn.extras import install_command

# Scores down to this share of the threshold keep a track alive (they show nothing): the second
# stage of ByteTrack, for objects that are half hidden.
FAINT = 0.5
# Share of the object's size by which its centre must have left a line to be on the other side: a
# box that trembles on the line does not count.
CLEARLY = 0.05


class Line:
    """A line on the picture, and who crossed it.

    Attributes:
        ends: x1, y1, x2, y2 in px.
        ways: the names of the two directions: in the picture, whichever end was named first.
        crossings: the tracks that crossed it, and which way.
    """

    def __init__(self, ends: tuple[float, float, float, float]):
        self.ends = ends
        x1, y1, x2, y2 = ends
        level = abs(x2 - x1) > abs(y2 - y1)
        self.ways = ("downwards", "upwards") if level else ("rightwards", "leftwards")
        # from left to right, or from bottom to top: what is below, or right, has a distance > 0
        backwards = x2 < x1 if level else y2 > y1
        self._from = (x2, y2) if backwards else (x1, y1)
        self._along = (x1 - x2, y1 - y2) if backwards else (x2 - x1, y2 - y1)
        self._last: dict[int, tuple[float, float, float]] = {}
        self.crossings: list[tuple[int, str]] = []

    def follow(self, track: int, x: float, y: float, size: float) -> None:
        """Count a crossing if the object has come to the other side between the line's ends.

        Args:
            track: which object.
            x, y: its centre, px.
            size: of the object, px.
        """
        now = self._distance(x, y)
        if abs(now) <= CLEARLY * size:
            return
        before = self._last.get(track)
        self._last[track] = (x, y, now)
        if before is None or (before[2] > 0) == (now > 0):
            return
        part = before[2] / (before[2] - now)  # of the way, up to the line
        at = before[0] + part * (x - before[0]), before[1] + part * (y - before[1])
        dx, dy = self._along
        place = ((at[0] - self._from[0]) * dx + (at[1] - self._from[1]) * dy) / (dx * dx + dy * dy)
        if 0 <= place <= 1:
            self.crossings.append((track, self.ways[now < 0]))

    def _distance(self, x: float, y: float) -> float:
        dx, dy = self._along
        return (dx * (y - self._from[1]) - dy * (x - self._from[0])) / math.hypot(dx, dy)


class Tracker:
    """Follows objects through a video.

    Args:
        rate: frames per second that are looked at, for how long a lost object is remembered (1 s).
        threshold: score that begins a track.
        lines: to count at.

    Raises:
        UserError: the packages of the extra ``track`` are not installed.
    """

    def __init__(self, rate: float, threshold: float, lines: Sequence[Line] = ()):
        try:
            import supervision
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise UserError(
                "--track needs the packages supervision and trackers, which are not installed: "
                f"{install_command('track')}"
            ) from error
        self.lines = list(lines)
        self._boxes = supervision.Detections
        self._tracker = ByteTrackTracker(
            frame_rate=rate,
            track_activation_threshold=threshold,
            high_conf_det_threshold=threshold,
            minimum_consecutive_frames=1,
        )
        self._votes: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def update(
        self, detections: Detections, time: float, scale: tuple[float, float] = (1, 1)
    ) -> list[int]:
        """The identity of each object, from 1; 0 for one that is seen for the first time, or too
        faint to be followed: what lasts for one frame is not counted.

        Args:
            detections: of the next frame, those down to ``FAINT`` times the threshold too.
            time: of the frame, seconds.
            scale: factors on x and y, where the frame has another size than the first.
        """
        boxes = as_array(detections.boxes) * np.array([*scale, *scale], dtype=np.float32)
        found = self._boxes(
            xyxy=boxes,
            confidence=as_array(detections.scores),
            class_id=as_array(detections.labels),
            data={"place": np.arange(len(boxes))},
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            followed: Any = self._tracker.update(found, timestamp=time)
        tracks = [0] * len(boxes)
        for place, number in zip(
            followed.data.get("place", ()), followed.tracker_id, strict=len(boxes) > 0
        ):
            tracks[int(place)] = int(number) + 1
        names, scores = detections.names, detections.scores.tolist()
        for track, name, score, box in zip(tracks, names, scores, boxes.tolist(), strict=True):
            if track:
                self._votes[track][name] += score
                x1, y1, x2, y2 = box
                for line in self.lines:
                    size = math.sqrt(max(0.0, (x2 - x1) * (y2 - y1)))
                    line.follow(track, (x1 + x2) / 2, (y1 + y2) / 2, size)
        return tracks

    def counts(self) -> dict[str, int]:
        """How many objects of each class there were; an object is what it was taken for most."""
        return _counted(self._name(track) for track in self._votes)

    def line_counts(self) -> list[dict[str, Any]]:
        """For each line its ends (``"line"``, px), and per direction how many of each class crossed
        it."""
        return [
            {"line": [round(end, 1) for end in line.ends]}
            | {
                way: _counted(self._name(track) for track, gone in line.crossings if gone == way)
                for way in line.ways
            }
            for line in self.lines
        ]

    def _name(self, track: int) -> str:
        return max(self._votes[track].items(), key=lambda item: item[1])[0]


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def parse_line(text: str, height: int, width: int) -> Line:
    """A line of ``x1,y1,x2,y2``: px, or shares of width and height where none is above 1.

    Raises:
        UserError: it is none, or lies outside a picture of this size.
    """
    try:
        x1, y1, x2, y2 = map(float, text.split(","))
    except ValueError:
        raise UserError(
            f"--line {text}: is not x1,y1,x2,y2; give four numbers, px or shares of the picture"
        ) from None
    if max(x1, y1, x2, y2) <= 1:
        x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
    inside = all(0 <= x <= width for x in (x1, x2)) and all(0 <= y <= height for y in (y1, y2))
    if not inside or (x1, y1) == (x2, y2):
        raise UserError(
            f"--line {text}: is no line on a picture of {width}x{height}; choose two points on it"
        )
    return Line((x1, y1, x2, y2))

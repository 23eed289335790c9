"""What the page does: look at a picture or a frame, annotate a video, write results to download."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.draw import JPEG, as_picture, contact_sheet
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.serve.dropped import read_dropped
from dmaskrcnn.serve.whole_video import annotate

LEAST = 0.1  # score of what is kept for the slider; masks of lower ones would fill the memory


@dataclass(frozen=True)
class Seen:
    """A picture and all that was found in it.

    Attributes:
        name: of its file.
        image, dehazed: uint8 ``(3, H, W)``.
        haze: see `haziness`.
        found: what each run found, with scores from ``LEAST`` on.
        dehazing: the name of the method, or "none".
        looked_at: "image" or "dehazed": what the runs were given.
    """

    name: str
    image: Tensor
    dehazed: Tensor
    haze: float
    found: dict[str, Detections]
    dehazing: str
    looked_at: str


class Page:
    """What the page's controls do.

    Args:
        runs: detectors by name.
        device: where to dehaze.
        folder: for files to download.
    """

    def __init__(self, runs: Mapping[str, Predictor], device: Any, folder: Path):
        self.runs, self.device, self.folder = dict(runs), device, folder
        self._dehazers: dict[str, Dehazer] = {}

    def look(
        self, file: str, second: float, dehazing: str, names: Sequence[str], in_dehazed: bool
    ) -> Seen:
        """Dehaze and detect. Raises UserError for a file that cannot be read."""
        image = read_dropped(Path(file), second)
        dehazed = self._dehazed(image, dehazing)
        given = dehazed if in_dehazed else image
        found = {name: self.runs[name].predict([given], LEAST)[0] for name in names}
        haze = haziness(image)
        looked_at = "dehazed" if in_dehazed and dehazing != "none" else "image"
        return Seen(Path(file).name, image, dehazed, haze, found, dehazing, looked_at)

    def _dehazed(self, image: Tensor, dehazing: str) -> Tensor:
        if dehazing == "none":
            return image
        if dehazing not in self._dehazers:
            self._dehazers[dehazing] = Dehazer(dehazing, device=self.device)
        return self._dehazers[dehazing](image)[0].cpu()

    def videos(
        self,
        file: str,
        dehazing: str,
        names: Sequence[str],
        in_dehazed: bool,
        threshold: float,
        progress: Callable[[float, str], object],
    ) -> list[tuple[str, str]]:
        """The whole video through each run, each with its caption. Raises UserError for what is no
        video, or too long."""
        looked_at = dehazing if in_dehazed else "none"
        videos = annotate(
            Path(file),
            {name: self.runs[name] for name in names},
            threshold,
            Path(tempfile.mkdtemp(dir=self.folder)),
            lambda image: self._dehazed(image, looked_at),
            progress,
        )
        return [(str(path), caption) for path, caption in videos]

    def pictures(self, seen: Seen, threshold: float) -> list[tuple[Any, str]]:
        """All that is shown, each with its caption."""
        shown: list[tuple[Any, str]] = [
            (as_picture(seen.image), f"as it is, haze {seen.haze:.2f} of 1"),
        ]
        if seen.dehazing != "none":
            shown.append((as_picture(seen.dehazed), f"dehazed: {DEHAZERS[seen.dehazing].label}"))
        under = seen.dehazed if seen.looked_at == "dehazed" else seen.image
        for name, found in seen.found.items():
            kept = found.above(threshold)
            shown.append((kept.draw(under), f"{name}: {_counted(kept)}"))
        return shown

    def files(
        self, seen: Seen, threshold: float, shown: Sequence[tuple[Any, str]]
    ) -> tuple[str, str]:
        """The results to download: JSON, and one picture of all side by side."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        runs = {name: found.above(threshold).to_dict() for name, found in seen.found.items()}
        said = {"file": seen.name, "haze": round(seen.haze, 3), "dehazing": seen.dehazing}
        said |= {"looked_at": seen.looked_at, "threshold": threshold, "runs": runs}
        (folder / "detections.json").write_text(json.dumps(said), encoding="utf-8")
        pictures, captions = zip(*shown, strict=True)
        width = min(960, max(320, pictures[0].width))
        sheet = contact_sheet(pictures, min(2, len(pictures)), captions, cell_width=width)
        sheet.save(folder / "side-by-side.jpg", "JPEG", **JPEG)
        return str(folder / "detections.json"), str(folder / "side-by-side.jpg")


def _counted(found: Detections) -> str:
    counts = Counter(found.names).most_common()
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing found"

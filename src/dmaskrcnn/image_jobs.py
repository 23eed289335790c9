"""Many images in, a file or more for each: what ``predict``, ``dehaze`` and ``haze`` share.

Reading and writing run in threads beside the work itself, so that neither waits for the other. What is done when an error or
Ctrl-C ends a run stays and is listed; nothing but what an earlier run wrote is ever overwritten.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from PIL import Image
from tqdm import tqdm

from dmaskrcnn.data.image import IMAGE_SUFFIXES, list_images
from dmaskrcnn.errors import UserError
from dmaskrcnn.files import atomic_write

JPEG_QUALITY = 95
# Formats that hold 8-bit RGB keep theirs; the rest (.pgm is grey by definition) becomes PNG.
KEPT_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


class HasSource(Protocol):
    """What ``run_jobs`` asks of a job."""

    @property
    def source(self) -> Path:
        """The image file."""
        ...


AnyJob = TypeVar("AnyJob", bound=HasSource)
Input = TypeVar("Input")
Entry = TypeVar("Entry")


@dataclass
class Job:
    """One image: its file, and the picture to write."""

    source: Path
    picture: Path


def find_images(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The image files, each with the path that its picture should keep; every file once.

    Args:
        inputs: files, taken whatever their suffix, and folders.
        out: left out of the search where it lies inside an input folder.

    Raises:
        UserError: for a missing input, a folder without images, and a folder that is itself ``out``.
    """
    if not inputs:
        raise UserError("inputs: no images given; name image files or folders")
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise UserError(f"{out}: is the output folder and an input folder; choose another --out")
            within = path.resolve() in out.resolve().parents  # an earlier run's pictures are no input
            files = [file for file in list_images(path) if not (within and out.resolve() in file.resolve().parents)]
            if not files:
                raise UserError(f"{path}: no images in this folder (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
        elif path.exists():
            files = [path]
        else:
            raise UserError(f"{path}: no such file or folder; check the path")
        for file in files:
            found.setdefault(file.resolve(), (file, file.relative_to(path if path.is_dir() else path.parent)))
    return list(found.values())


def plan(
    files: Sequence[tuple[Path, Path]],
    out: Path,
    suffix: Callable[[Path], str] = lambda _: ".jpg",
    *,
    ours: Callable[[Path], bool],
) -> list[Job]:
    """A picture for each image, such that no two share a name and nothing but an earlier picture of ours is overwritten.

    Args:
        files: each image, and the path its picture should keep.
        out: the folder of the pictures.
        suffix: of the picture of an image.
        ours: whether an existing file is a picture of ours, which may be overwritten.
    """
    inputs = {file.resolve() for file, _ in files}
    taken: set[str] = set()
    jobs = []
    for file, name in files:
        number, picture = 1, out / name.with_suffix(suffix(name))
        while (
            str(picture).casefold() in taken  # some file systems take a.jpg and A.jpg for the same file
            or picture.resolve() in inputs
            or (picture.exists() and not ours(picture))
        ):
            number += 1
            picture = out / name.with_name(f"{name.stem}-{number}{picture.suffix}")
        taken.add(str(picture).casefold())
        jobs.append(Job(file, picture))
    return jobs


@dataclass
class Outcome(Generic[Entry]):
    """What ``run_jobs`` did.

    Attributes:
        done: what the writers returned, in the order of the jobs.
        skipped: file and reason of each image that could not be read.
        complete: False while running, and after an error or an interruption.
        seconds: wall time, reading and writing included.
    """

    done: list[Entry] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    @property
    def skipped_entries(self) -> list[dict[str, str]]:
        """``skipped`` for a JSON file."""
        return [{"file": path.as_posix(), "reason": reason} for path, reason in self.skipped]


def run_jobs(
    jobs: Sequence[AnyJob],
    read: Callable[[AnyJob], Input],
    work: Callable[[list[tuple[AnyJob, Input]]], Iterable[Callable[[], Entry]]],
    save: Callable[[Outcome[Entry]], object],
    verb: str,
    size: int = 1,
    progress: bool = True,
) -> Outcome[Entry]:
    """Read, work on and write every image.

    Args:
        jobs: one per image.
        read: run in a thread; a job for which it raises UserError is named and skipped.
        work: run in the calling thread on batches of what was read; gives a writer per job, to be run in a thread.
        save: called once at the end, if anything is done and however it ends: for the file that lists it.
        verb: for the progress on stderr.
        size: of the batches.
        progress: report progress.

    Raises:
        UserError: no image at all can be read, or what ``work``, a writer or ``save`` raises.
    """
    outcome: Outcome[Entry] = Outcome()
    start = time.monotonic()
    report = Progress(len(jobs), progress, verb)
    with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "write") as writers:
        writing: deque[Future[Entry]] = deque()

        def finish(most: int) -> None:
            """Waits until at most so many files are being written: large images take a lot of memory."""
            while len(writing) > most:
                outcome.done.append(writing[0].result())
                writing.popleft()  # only now: an interruption while waiting loses nothing
                report.step()

        try:
            for batch in _read_batches(jobs, read, readers, size, outcome.skipped, report):
                writing.extend(writers.submit(write) for write in work(batch))
                finish(most=max(2, size))
            finish(most=0)
            outcome.complete = True
        finally:
            readers.shutdown(cancel_futures=True)
            for future in writing:
                with suppress(Exception):  # the first failure is the one to report
                    outcome.done.append(future.result())
            report.close()
            outcome.seconds = time.monotonic() - start
            if outcome.done:
                with suppress(*(() if outcome.complete else (UserError,))):  # the same
                    save(outcome)
    if not outcome.done:
        path, reason = outcome.skipped[0]
        raise UserError(f"{path}: none of the {len(jobs)} images can be read ({reason}); check the files")
    return outcome


def _read_batches(
    jobs: Sequence[AnyJob],
    read: Callable[[AnyJob], Input],
    readers: ThreadPoolExecutor,
    size: int,
    skipped: list[tuple[Path, str]],
    report: Progress,
) -> Iterator[list[tuple[AnyJob, Input]]]:
    """What was read, in batches; while one is in use, the next is being read. Unreadable ones go to ``skipped``."""
    waiting = deque(jobs)
    reading: deque[tuple[AnyJob, Future[Input]]] = deque()
    batch: list[tuple[AnyJob, Input]] = []
    while waiting or reading:
        while waiting and len(reading) < 2 * size:
            job = waiting.popleft()
            reading.append((job, readers.submit(read, job)))
        job, image = reading.popleft()
        try:
            batch.append((job, image.result()))
        except UserError as error:
            reason = str(error).removeprefix(f"{job.source}: ")
            skipped.append((job.source, reason))
            report.say(f"skipped {job.source}: {reason}")
            report.step()
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def kept_suffix(name: Path) -> str:
    """The suffix of the picture that ``save_picture`` writes for an image of this name."""
    return name.suffix if name.suffix.lower() in KEPT_SUFFIXES else ".png"


def save_picture(picture: Image.Image, path: Path, source: Path) -> None:
    """Write a picture in the format its name says, with EXIF data and colour profile of the image it was made from.

    The picture is upright: of the EXIF data, the rotation is left out. Raises UserError if it cannot be written.
    """
    options: dict[str, Any] = _metadata(source)
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"quality": JPEG_QUALITY}
    elif suffix in (".bmp", ".ppm"):
        options = {}
    atomic_write(path, lambda temporary: picture.save(temporary, **options))


def _metadata(source: Path) -> dict[str, Any]:
    """EXIF data without the rotation, which is in the pixels now, and the colour profile if it is one of RGB."""
    options: dict[str, Any] = {}
    try:
        with Image.open(source) as picture:
            exif = picture.getexif()
            exif.pop(0x0112, None)
            if len(exif):
                options["exif"] = exif.tobytes()
            if picture.mode in ("RGB", "RGBA", "P") and picture.info.get("icc_profile"):
                options["icc_profile"] = picture.info["icc_profile"]
    except Exception:  # broken metadata of a readable picture: the picture is what counts
        return {}
    return options


class Progress:
    """Progress on stderr: a bar with the time left on a terminal, otherwise a line at about every tenth of the images."""

    def __init__(self, total: int, enabled: bool, verb: str):
        self.total, self.done, self.enabled, self.verb, self.start = total, 0, enabled, verb, time.monotonic()
        on_terminal = enabled and sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=verb, unit="image", file=sys.stderr) if on_terminal else None

    def step(self) -> None:
        """One image more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif self.enabled and self.done * 10 // self.total > (self.done - 1) * 10 // self.total:
            left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            print(f"{self.verb}: {self.done}/{self.total} images, {left:.0f} s left", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line of its own, without breaking the bar; said even where progress is not wanted."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar's line."""
        if self.bar is not None:
            self.bar.close()

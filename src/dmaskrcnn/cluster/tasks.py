"""What is done with each picture: detection, dehazing, haze. A task is sent to the actors as it
is; the files that it needs go beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from PIL import Image

from dmaskrcnn.cluster.libraries import need
from dmaskrcnn.cluster.store import Store
from dmaskrcnn.data.sample import Sample
from dmaskrcnn.draw import JPEG
from dmaskrcnn.files import file_digest, save_picture_whole
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.haze.switch import HazeSwitch
from dmaskrcnn.images.by_detector import ClearOrHazy, in_tiles
from dmaskrcnn.images.haze import HazeConditions, hazed_views
from dmaskrcnn.images.picture_files import kept_suffix, save_picture
from dmaskrcnn.run import open_run

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Item:
    """A picture that was decoded.

    Attributes:
        said: what it is called in the results.
        name: relative path that what is made of it keeps, but for the suffix.
        source: the file, or its bytes.
        image: uint8 ``(3, H, W)``.
    """

    said: str
    name: PurePosixPath
    source: Path | bytes
    image: Tensor


# gives a writer per picture, to be run in a thread, which gives what its row says, and perhaps as
# `doubt` what is odd, for the person who waits
Work = Callable[[Sequence[Item]], list[Callable[[], dict[str, Any]]]]


class Task(Protocol):
    """A job's work.

    Attributes:
        verb: of the command line.
    """

    verb: ClassVar[str]

    @property
    def batch_size(self) -> int:
        """Pictures that are worked on at once."""
        ...

    def options(self) -> dict[str, Any]:
        """All that the results depend on besides the pictures, as plain values."""
        ...

    def columns(self) -> list[tuple[str, Any]]:
        """Names and types of what a row says of a picture."""
        ...

    def parcels(self) -> list[dict[str, bytes]]:
        """Folders of files that the actors need."""
        ...

    def begin(self, folders: Sequence[Path], device: str, store: Store) -> Callable[[], Work]:
        """Load, in an actor, what is needed from these folders; gives the work of a shard."""
        ...


@dataclass(frozen=True)
class Detect:
    """`predict`: rows as the entries of its ``detections.json``.

    Args:
        runs: address of a run, and perhaps of a second one for clear air.
        threshold: the least score of an object.
        batch_size: images per call of the detector.
        tiles: see `detector.tiles`.
        haze_thresholds: between the runs, see `HazeSwitch`; a shard begins anew.
        pictures: also write a drawn picture of each.
    """

    runs: tuple[str, ...]
    threshold: float = 0.5
    batch_size: int = 4
    tiles: int = 0
    haze_thresholds: tuple[float, float] = (0.5, 0.56)
    pictures: bool = False
    verb: ClassVar[str] = "predict"

    def options(self) -> dict[str, Any]:
        """See `Task`."""
        said: dict[str, Any] = {"threshold": self.threshold, "tiles": self.tiles}
        said |= {"pictures": self.pictures, "weights": [open_run(r).digests for r in self.runs]}
        return said | ({"haze_thresholds": [*self.haze_thresholds]} if len(self.runs) > 1 else {})

    def columns(self) -> list[tuple[str, Any]]:
        """See `Task`."""
        pa = need("pyarrow")
        mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
        one = [("class", pa.string()), ("score", pa.float32()), ("box", pa.list_(pa.float32()))]
        found = pa.list_(pa.struct([*one, ("mask", mask)]))
        return [("haze", pa.float32()), ("picture", pa.string()), ("detections", found)]

    def parcels(self) -> list[dict[str, bytes]]:
        """The files of the detectors."""
        runs = map(open_run, self.runs)
        return [{file.name: file.read_bytes() for file in run.files} for run in runs]

    def begin(self, folders: Sequence[Path], device: str, store: Store) -> Callable[[], Work]:
        """See `Task`."""
        sizes = [open_run(run).image_size for run in self.runs]
        paths = [f"{f}@{size}" if size else f for f, size in zip(folders, sizes, strict=True)]
        detectors = [open_run(path).detector(device) for path in paths]

        def shard() -> Work:
            predictor: Any = detectors[0]
            if len(detectors) > 1:
                switch = HazeSwitch(*self.haze_thresholds)
                predictor = ClearOrHazy(detectors[0], detectors[1], switch)
            predictor = in_tiles(predictor, self.tiles, self.batch_size)
            return partial(self._work, predictor, store)

        return shard

    def _work(
        self, predictor: Any, store: Store, items: Sequence[Item]
    ) -> list[Callable[[], dict[str, Any]]]:
        found = predictor.predict([item.image for item in items], threshold=self.threshold)
        pairs = zip(items, found, strict=True)
        return [partial(self._write, store, item, one.to("cpu")) for item, one in pairs]

    def _write(self, store: Store, item: Item, found: Any) -> dict[str, Any]:
        row = {"haze": round(haziness(item.image), 3), **found.to_dict()}
        if self.pictures:
            row["picture"] = f"pictures/{item.name.with_suffix('.jpg')}"
            drawn = found.draw(item.image)
            comment = b"drawn by dmaskrcnn predict"
            save = partial(save_picture_whole, drawn, comment=comment, **JPEG)
            store.write(row["picture"], save)
        return row


@dataclass(frozen=True)
class Dehaze:
    """`dehaze`: a picture of each, of the same name.

    Args:
        method: see `Dehazer`, as the others.
        weights: a file of ``train-dehazer``.
        ignore_rows: rows that no method looks at.
        maps: also draw what the method found on the way.
    """

    method: str = "dark-channel-robust"
    weights: Path | None = None
    ignore_rows: tuple[float, float] | None = None
    maps: bool = False
    batch_size: int = 1
    verb: ClassVar[str] = "dehaze"

    def options(self) -> dict[str, Any]:
        """See `Task`."""
        rows = self.ignore_rows and [*self.ignore_rows]
        said = {"method": self.method, "ignore_rows": rows, "maps": self.maps}
        return said | {"weights": file_digest(self.weights) if self.weights else None}

    def columns(self) -> list[tuple[str, Any]]:
        """See `Task`."""
        return [(name, need("pyarrow").string()) for name in ("picture", "maps")]

    def parcels(self) -> list[dict[str, bytes]]:
        """The weights, where they are not the project's own."""
        return [{self.weights.name: self.weights.read_bytes()}] if self.weights else []

    def begin(self, folders: Sequence[Path], device: str, store: Store) -> Callable[[], Work]:
        """See `Task`."""
        from dmaskrcnn.dehazing.dehazer import Dehazer
        from dmaskrcnn.device import resolve_device

        weights = folders[0] / self.weights.name if self.weights else None
        dehazer = Dehazer(self.method, weights, resolve_device(device), self.ignore_rows)
        return lambda: partial(self._work, dehazer, store)

    def _work(
        self, dehazer: Any, store: Store, items: Sequence[Item]
    ) -> list[Callable[[], dict[str, Any]]]:
        from dmaskrcnn.dehazing.maps import draw_maps

        writers = []
        for item in items:
            clear, found = dehazer(item.image)
            drawing = draw_maps(item.image, clear, found) if self.maps else None
            writers.append(partial(_write_dehazed, store, item, clear.cpu(), drawing))
        return writers


def _write_dehazed(
    store: Store, item: Item, clear: Tensor, drawing: Image.Image | None
) -> dict[str, Any]:
    name = PurePosixPath("pictures", item.name.with_suffix(kept_suffix(Path(item.name))))
    picture = Image.fromarray(clear.permute(1, 2, 0).contiguous().numpy())
    store.write(name.as_posix(), partial(save_picture, picture, item.source))
    row = {"picture": name.as_posix()}
    if drawing is not None:
        # beside them, and not among them: a picture may be called NAME-maps.png
        row["maps"] = PurePosixPath("maps", item.name.with_suffix(".png")).as_posix()
        store.write(row["maps"], drawing.save)
    return row


@dataclass(frozen=True)
class PutBehindHaze:
    """`haze`, of pictures without labels, into the folders that the plain verb writes.

    Args:
        conditions: what haze; the folder of depth maps is made absolute, as that of inputs.
    """

    conditions: HazeConditions
    batch_size: int = 1
    verb: ClassVar[str] = "haze"

    def __post_init__(self) -> None:
        if maps := self.conditions.depth:
            maps = replace(maps, folder=maps.folder.absolute())
            object.__setattr__(self, "conditions", replace(self.conditions, depth=maps))

    def options(self) -> dict[str, Any]:
        """See `Task`."""
        haze = self.conditions
        said: dict[str, Any] = {"visibilities": [*haze.visibilities], "seed": haze.seed}
        said |= {"airlight": haze.airlight and [*haze.airlight]}
        said |= {"inhomogeneity": haze.inhomogeneity, "focal": haze.focal and str(haze.focal)}
        if maps := haze.depth:
            said |= {"depth_scale": maps.metres_per_unit, "focal_baseline": maps.focal_baseline}
        return said | {"depth": str(maps.folder) if maps else None}

    def columns(self) -> list[tuple[str, Any]]:
        """See `Task`."""
        pa = need("pyarrow")
        return [("picture", pa.string()), ("airlight", pa.list_(pa.float32()))]

    def parcels(self) -> list[dict[str, bytes]]:
        """Depth maps are many: the actors read them where they lie."""
        return []

    def begin(self, folders: Sequence[Path], device: str, store: Store) -> Callable[[], Work]:
        """See `Task`."""
        return lambda: lambda items: [partial(self._write, store, item) for item in items]

    def _write(self, store: Store, item: Item) -> dict[str, Any]:
        name = item.name.with_suffix(kept_suffix(Path(item.name)))
        maps, depth, doubts = self.conditions.depth, None, []
        if maps:
            height, width = item.image.shape[1:]
            file = maps.find(Path(item.name))
            depth = maps.read(file, (height, width))
            doubts = maps.doubts(file, depth, self.conditions.visibilities)
        sample = Sample(item.image, Path(item.name), item.name.stem)
        airlight, views = hazed_views(sample, depth, (), self.conditions, name.as_posix())
        for value, hazy, map_of_t in views:
            where = f"visibility-{value:g}/images/{name}"
            store.write(where, partial(save_picture, hazy, item.source))
            where = f"transmission-{value:g}/{name.with_suffix('.png')}"
            store.write(where, partial(map_of_t.save, compress_level=1))
        row = {"picture": name.as_posix(), "airlight": airlight}
        return row | ({"doubt": doubts[0]} if doubts else {})

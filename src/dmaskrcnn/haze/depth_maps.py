"""Measured or predicted depth, one file per image.

Depth: a 16-bit PNG (millimetres, or any other unit), or ``.npy``/``.npz`` with metres. Disparity of
a stereo camera: a 16-bit PNG ``256 d + 1`` as in Cityscapes (KITTI's ``256 d`` differs by 1/256
px), or ``.npy``/``.npz`` with px. In all of them 0, negative and nan mean unknown; ``inf`` in an
array of depth is the sky.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import check_regular
from dmaskrcnn.haze.scattering import extinction, transmission

HEADER, VALUE = 65_536, 16  # most bytes of an array's description, and of one of its numbers
SUFFIXES = (".png", ".npy", ".npz")
# Transmissions that tell of a wrong unit: above, airlight adds at most 2 of 255 levels; below, the
# contrast is under Koschmieder's threshold of the eye.
_NO_HAZE, _ALL_HAZE = 0.99, 0.02
# What data sets append to the name that picture and map share, as in x_leftImg8bit.png and
# x_disparity.png (Cityscapes).
_KIND = re.compile(r"_(leftImg8bit|left|image|rgb|depth|disparity|disp)$")


@dataclass(frozen=True)
class DepthMaps:
    """A folder of depth maps.

    A picture ``a/x.jpg`` has the map ``a/x.png`` (or ``.npy``, ``.npz``), or the only one called
    ``x`` in any subfolder. Endings that only tell picture from map, like ``_leftImg8bit`` and
    ``_disparity``, do not count.

    Attributes:
        folder: searched with its subfolders.
        metres_per_unit: of a 16-bit PNG: 0.001 for millimetres; KITTI's depth maps have 1/256.
        focal_baseline: the maps hold disparity; depth is this, focal length in px times baseline in
            metres, divided by it.
    """

    folder: Path
    metres_per_unit: float = 0.001
    focal_baseline: float | None = None
    _files: dict[str, list[Path]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder; name the folder of the depth maps")
        for name, value in (
            ("--depth-scale", self.metres_per_unit),
            ("--focal-baseline", self.focal_baseline),
        ):
            if value is not None and not 0 < value < np.inf:
                raise UserError(f"{name} must be above 0, got {value}")
        for file in sorted(self.folder.rglob("*")):
            if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                name = _plain(file.relative_to(self.folder))
                for key in {name.as_posix(), name.name}:
                    self._files.setdefault(key, []).append(file)
        if not self._files:
            raise UserError(f"{self.folder}: no depth map in it (looked for {', '.join(SUFFIXES)})")

    def find(self, name: Path) -> Path:
        """The map of the picture with this relative path.

        Raises:
            UserError: there is none, or several are called so.
        """
        plain = _plain(name)
        for key in (plain.as_posix(), plain.name):
            files = self._files.get(key, ())
            if len(files) == 1:
                return files[0]
            if files:
                found = ", ".join(file.relative_to(self.folder).as_posix() for file in files[:3])
                raise UserError(
                    f"{self.folder}: several depth maps for {name} ({found}); keep one of them"
                )
        raise UserError(
            f"{self.folder}: no depth map for {name}; add {plain.name}.png, .npy or .npz"
        )

    def read(self, file: Path, size: tuple[int, int]) -> NDArray[np.float32]:
        """Metres, float32 ``(H, W)``, above 0, ``inf`` for the sky; :func:`fill_unknown` fills what
        the file does not know.

        Raises:
            UserError: the file cannot be read, is of another size than ``(height, width)``, or
            knows no distance at all.
        """
        values, is_png = _load(file, size)
        if values.shape != size:
            found = "x".join(map(str, values.shape[::-1]))
            raise UserError(
                f"{file}: is {found}, its picture {size[1]}x{size[0]}; make the depth "
                "map of the same size"
            )
        known = values > 0  # nor nan
        if self.focal_baseline is None:
            values = values * np.float32(self.metres_per_unit) if is_png else values
        else:
            disparity = (values - 1) / 256 if is_png else values
            values = np.divide(
                self.focal_baseline,
                disparity,
                out=np.full(size, np.inf, np.float32),
                where=disparity > 0,
            )
        if not known.any():
            raise UserError(
                f"{file}: knows no distance: all of it is 0, negative or nan; replace it"
            )
        return fill_unknown(values, known)

    def doubts(
        self, file: Path, depth: NDArray[np.float32], visibilities: Sequence[float]
    ) -> list[str]:
        """What is odd about a map, with advice, if anything: that haze of none of the visibilities
        changes what it shows, or that all leave nothing of it, as in a wrong unit.

        Args:
            file: the map.
            depth: metres, as ``read`` gives them; the sky does not count.
            visibilities: in metres.
        """
        known = depth[np.isfinite(depth)]
        if not known.size:
            return []
        ends = np.array([known.min(), known.max()])
        if transmission(ends, extinction(min(visibilities)))[1] > _NO_HAZE:
            odd = f"haze changes nothing at {min(visibilities):g} m of visibility"
        elif transmission(ends, extinction(max(visibilities)))[0] < _ALL_HAZE:
            odd = f"haze leaves nothing to see at {max(visibilities):g} m of visibility"
        else:
            return []
        if self.focal_baseline is not None:
            advice = f"give --focal-baseline in px times metres, if not {self.focal_baseline:g}"
        elif file.suffix.lower() == ".png":
            advice = f"give --depth-scale, metres per unit of PNGs, if not {self.metres_per_unit:g}"
        else:
            advice = "write metres into the array, if it has none (--depth-scale is of PNGs)"
        return [f"{file}: is {ends[0]:g} to {ends[1]:g} m away, where {odd}; {advice}"]


def open_depth_maps(
    depth: Path | None,
    depth_scale: float = 0.001,
    disparity: Path | None = None,
    focal_baseline: float | None = None,
) -> DepthMaps | None:
    """The maps that the options of ``dmaskrcnn haze`` name, if any. Raises UserError where they do
    not fit together."""
    if depth is not None and disparity is not None:
        raise UserError("--depth and --disparity are both given: keep one of them")
    if (disparity is None) != (focal_baseline is None):
        raise UserError("--disparity and --focal-baseline belong together: give both or neither")
    if depth is None and depth_scale != DepthMaps.metres_per_unit:
        raise UserError("--depth-scale has no use without --depth: add that, or leave it out")
    folder = depth or disparity
    return DepthMaps(folder, depth_scale, focal_baseline) if folder else None


def fill_unknown(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth where it is not known: the farther of the nearest known pixels left and right, as in
    KITTI's development kit.

    What a stereo camera cannot match is mostly background that one of its eyes does not see. A row
    without any known pixel takes the nearest row that has some.

    Args:
        depth: float32 ``(H, W)``.
        known: bool ``(H, W)``, True somewhere.
    """
    if known.all():
        return depth
    rows = np.flatnonzero(known.any(1))
    columns = np.arange(depth.shape[1])
    left = np.maximum.accumulate(np.where(known[rows], columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known[rows], columns, depth.shape[1])[:, ::-1], axis=1)[
        :, ::-1
    ]
    left, right = np.where(left < 0, right, left), np.where(right == depth.shape[1], left, right)
    filled = np.maximum(*(np.take_along_axis(depth[rows], side, axis=1) for side in (left, right)))
    nearest = np.abs(np.arange(len(depth))[:, None] - rows).argmin(1)
    return np.where(known, depth, filled[nearest])


def _plain(name: Path) -> Path:
    """The name without suffix and without what tells picture and map apart."""
    return name.with_name(_KIND.sub("", name.stem) or name.stem)


def _check_bytes(file: Path, size: tuple[int, int]) -> None:
    """Raises ValueError for an array, or one of an archive, that holds more than a picture of this
    size has pixels: told by the file, before it is read."""
    held = [file.stat().st_size]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            held = [entry.file_size for entry in archive.infolist()]
    most = HEADER + VALUE * size[0] * size[1]
    if max(held, default=0) > most:
        raise ValueError(f"holds {max(held):,} bytes, more than a map of {size[1]}x{size[0]} has")


def _load(file: Path, size: tuple[int, int]) -> tuple[NDArray[np.float32], bool]:
    """The values ``(H, W)`` as they are, and whether they are a PNG's integers; of another size
    than ``(height, width)`` perhaps, but not much larger. Raises UserError."""
    try:
        check_regular(file)
        if file.suffix.lower() == ".png":
            with Image.open(file) as picture:
                if picture.size != size[::-1]:
                    return np.empty(picture.size[::-1], np.float32), True
                if picture.mode == "I" or picture.mode.startswith("I;16"):
                    return np.asarray(picture).astype(np.float32), True
                mode = picture.mode
            raise UserError(
                f"{file}: no 16-bit grey PNG (its mode is {mode}); write 16 bits, or metres as .npy"
            )
        _check_bytes(file, size)
        with file.open("rb") as opened:  # numpy leaves broken ones open
            values = np.load(opened, allow_pickle=False)
            if not isinstance(values, np.ndarray):  # an archive of arrays
                with values as arrays:
                    name = "depth" if "depth" in arrays else next(iter(arrays), "depth")
                    if name not in arrays or (name != "depth" and len(arrays) > 1):
                        raise UserError(
                            f"{file}: holds {len(arrays)} arrays; call the one to use `depth`"
                        )
                    values = np.asarray(arrays[name])
    except UserError:
        raise
    except Exception as error:  # readers raise many kinds on broken files
        raise UserError(
            f"{file}: cannot read the depth map ({first_line(error)}); replace it"
        ) from error
    # (1, H, W), (H, W, 1)
    values = values.reshape([n for n in values.shape if n != 1]) if values.ndim > 2 else values
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{file}: holds {values.dtype} of shape {values.shape}; it should be "
            "numbers of height x width"
        )
    with np.errstate(over="ignore"):  # what is too far for float32 is as far as the sky
        return values.astype(np.float32), False

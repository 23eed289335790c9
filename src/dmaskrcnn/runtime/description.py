"""``model.json`` of an exported folder: what the model beside it is, and how it was made.

{"format": "dmaskrcnn export 1", "complete": true,
 "runtime": "onnx",                     or openvino
 "precision": "float32",                or int8
 "classes": ["car", …],
 "detector": {"image_size": 320, …},    the architecture: sizes and thresholds
 "dehaze": "none",                      a method: dehaze.onnx (.xml) works on the picture before
 "digests": {"model.onnx": "…"},        SHA-256 of each file
 "made_of": "…", "made_with": {"dmaskrcnn": "…", "torch": "…", …},
 "compared": {…},                       with the detector it was made of
 "files": [...], "earlier": [...]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmaskrcnn.detector.config import DetectorConfig
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import file_digest, read_json
from dmaskrcnn.output_folder import index_format, mark

INDEX = "model.json"
SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}


@dataclass(frozen=True)
class Description:
    """What ``model.json`` says.

    Attributes:
        folder: where it lies.
        runtime: ``onnx`` or ``openvino``.
        precision: ``float32`` or ``int8``.
        classes: the class names.
        config: the architecture of the detector it was made of.
        dehaze: the method that goes before, or ``none``.
        digests: SHA-256 of each file of the model, by name.
        made_of: which weights, in words.
    """

    folder: Path
    runtime: str
    precision: str
    classes: tuple[str, ...]
    config: DetectorConfig
    dehaze: str
    digests: dict[str, str]
    made_of: str

    def check_files(self) -> None:
        """Raises UserError for a file that is missing or not the one that was written."""
        for name, digest in self.digests.items():
            if file_digest(self.folder / name) != digest:
                raise UserError(
                    f"{self.folder / name}: is not what was exported (another digest than "
                    f"{INDEX} has); export again"
                )


def is_export(folder: Path) -> bool:
    """Whether this is a folder of `dmaskrcnn export`, of whatever version and whole or not."""
    try:
        said = read_json(folder / INDEX)["format"]
        return isinstance(said, str) and said.startswith(mark("export"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_export(folder: Path) -> Description:
    """What the folder's ``model.json`` says; the model itself is not looked at.

    Raises:
        UserError: no such folder, a damaged file, another version's, or one that is not complete.
    """
    file = folder / INDEX
    try:
        said = read_json(file)
        version, complete = said["format"], said["complete"]
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no model.json there; give a folder that dmaskrcnn export wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error
    if not isinstance(version, str) or not version.startswith(mark("export")):
        raise UserError(f"{file}: is not of an export; give a folder that dmaskrcnn export wrote")
    if version != index_format("export"):
        raise UserError(
            f"{file}: is of another version ({version[:40]!r}, here {index_format('export')!r}); "
            "export again with this one"
        )
    if complete is not True:
        raise UserError(
            f"{folder}: the export was not finished or did not pass its comparison; export again"
        )
    try:
        return _parsed(folder, said)
    except (ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        raise _damaged(file, error) from error


def _parsed(folder: Path, said: dict[str, Any]) -> Description:
    classes = tuple(said["classes"])
    if not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError("'classes' are no names")
    texts = {key: said[key] for key in ("runtime", "precision", "dehaze", "made_of")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("holds no text where one belongs")
    if texts["runtime"] not in SUFFIXES:
        raise ValueError(f"'runtime' {texts['runtime'][:40]!r} is unknown")
    digests = said["digests"]
    stems = ["model"] + ["dehaze"] * (texts["dehaze"] != "none")
    wanted = {f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES[texts["runtime"]]}
    if set(digests) != wanted:  # so no name leads out of the folder
        raise ValueError("'digests' are not of the files of such a model")
    config = DetectorConfig.from_dict(said["detector"])
    return Description(folder, classes=classes, config=config, digests=digests, **texts)


def _damaged(file: Path, error: Exception) -> UserError:
    said = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    reason = first_line(Exception(said))
    return UserError(f"{file}: cannot be read ({reason}); export again")

"""Weights on disk and from torchvision, and how they get into a detector: by name, every mismatch
told. Never unpickles."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
)

from dmaskrcnn.data.classes import canonical
from dmaskrcnn.detector.config import MOST_WEIGHTS, DetectorConfig
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.files import read_json

BETWEEN = 480  # px; closer to 320 below than to 800, in ratio


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or ``.pth``/``.pt`` file as float32. Never unpickles code.

    Raises:
        UserError: naming the file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not os.path.isfile(path):
        raise UserError(
            f"{path}: no such weights file; give a run folder, a .safetensors or a .pth file, "
            "coco, imagenet or scratch"
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else load_torch(path)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a readable weights file ({first_line(error)})") from error
    # torch.load raises pickle.UnpicklingError, and others, for anything but plain tensors
    except Exception as error:
        raise UserError(
            f"{path}: holds more than tensors and is not unpickled; save its state "
            "dict as .safetensors"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if isinstance(state, dict) and any(str(k).startswith("detector.") for k in state):
        raise UserError(f"{path}: is a checkpoint to resume from; give its run folder instead")
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path}: not a state dict (names to tensors); save it as .safetensors")
    if sum(v.numel() for v in state.values()) > MOST_WEIGHTS:
        raise UserError(
            f"{path}: holds more than {MOST_WEIGHTS:,} weights; give a smaller detector"
        )
    check_finite(state, path)
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_torch(path: Path) -> Any:
    """What ``torch.save`` wrote, of plain values. Raises whatever torch does, and ValueError for a
    file that holds more than its size tells: torch compresses nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("is compressed")
    return torch.load(path, map_location="cpu", weights_only=True)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises UserError naming the first tensor that holds NaN or infinity."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(
                f"{path}: {name} holds values that are not finite; the training diverged, or the "
                "file is damaged: use an earlier one"
            )


def download(weights: WeightsEnum) -> dict[str, Tensor]:
    """A state dict of torchvision's. Raises UserError where there is no network."""
    from urllib.error import URLError

    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"--weights: torchvision could not download them ({error}); give a local .safetensors "
            "or .pth file, or scratch"
        ) from error


def read_description(path: Path) -> tuple[tuple[str, ...], DetectorConfig]:
    """Classes and architecture from a run folder's ``model.json``, or from the one beside a weights
    file. Raises UserError."""
    file = (
        path / "model.json" if os.path.isdir(path) or not path.suffix else path.with_suffix(".json")
    )
    try:
        description = read_json(file)
        classes = description["classes"]
        if not (isinstance(classes, list) and classes and all(isinstance(n, str) for n in classes)):
            raise ValueError("classes are not names")
        config = DetectorConfig.from_dict(dict(description["detector"]))
        config.check_weights(len(classes))
        return tuple(classes), config
    except FileNotFoundError as error:
        raise UserError(
            f"{file}: not found; give the folder of a training run (it holds model.json and "
            "model.safetensors)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise UserError(
            f"{file}: not a detector's description ({reason}); train again or restore the file"
        ) from error


def coco_weights(config: DetectorConfig) -> WeightsEnum:
    """torchvision's weights of a detector of this architecture that knows COCO. The coarse one was
    trained for pictures of 320 px and of 800. Raises UserError where there are none."""
    architecture = config.backbone, config.heads, config.pyramid
    if architecture == ("resnet50", "plain", "fine"):
        return MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    if architecture == ("resnet50", "deep", "fine"):
        return MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    if architecture == ("mobilenet_v3_large", "plain", "coarse"):
        if config.image_size < BETWEEN:
            return FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
        return FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
    raise UserError(
        f"--weights coco: torchvision has none for {config.backbone} with {config.heads} heads and "
        f"a {config.pyramid} pyramid; it has for --preset default, v2 and mobile: take one of "
        "these, or --weights imagenet"
    )


def load_start(
    detector: nn.Module, classes: Sequence[str], config: DetectorConfig, weights: str
) -> bool:
    """Load what a training starts from into a detector of these classes and architecture; see
    ``Detector.create`` for ``weights``. Whether these are of a whole detector. Raises UserError."""
    if weights == "scratch":
        return False
    if weights == "imagenet":
        available: Any = models.get_model_weights(config.backbone)
        load_backbone(detector, download(available.DEFAULT), weights)
        return False
    if weights == "coco":
        coco = coco_weights(config)
        # index 0 is background; "N/A" rows were never trained
        load_whole(detector, classes, download(coco), coco.meta["categories"][1:], weights)
        return True
    return _load_file(detector, classes, Path(weights))


def _load_file(detector: nn.Module, classes: Sequence[str], path: Path) -> bool:
    if os.path.isdir(path):
        names = read_description(path)[0]
        load_whole(detector, classes, read_state(path / "model.safetensors"), names, str(path))
        return True
    state = read_state(path)
    if not any(k.startswith("backbone.") for k in state):
        load_backbone(detector, state, str(path))
        return False
    if path.with_suffix(".json").is_file():
        names = read_description(path)[0]
    else:
        names = _undescribed(state, classes, path)
    load_whole(detector, classes, state, names, str(path))
    return True


def _undescribed(state: dict[str, Tensor], classes: Sequence[str], path: Path) -> Sequence[str]:
    """The classes of a whole detector that stands without a description: torchvision's of COCO by
    their number, or else those to be learnt. Raises UserError where they are of another number."""
    rows = state.get("roi_heads.box_predictor.cls_score.bias")
    if rows is None or len(rows) == len(classes) + 1:
        return classes
    coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    if len(rows) == len(coco):
        return coco[1:]
    raise UserError(
        f"--weights {path}: is of {len(rows) - 1} classes, and which is not said: put a .json of "
        f"its name beside it, as model.json of a run, or train all its classes ({len(classes)} now)"
    )


def load_backbone(detector: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load a classification network's weights into the backbone, without its head. Raises UserError
    for another network's."""
    state = {k.removeprefix("features."): v for k, v in state.items()}
    body = detector.get_submodule("backbone.body")
    wanted = body.state_dict()
    check_and_load(body, {k: v for k, v in state.items() if k in wanted}, name)


def load_whole(
    detector: nn.Module,
    classes: Sequence[str],
    state: dict[str, Tensor],
    names: Sequence[str],
    weights: str,
) -> None:
    """Load a whole Mask R-CNN that knows the classes ``names``, copying the predictors' rows by
    class name; of a Faster R-CNN, which has none, the mask head stays as it is."""
    current = detector.state_dict()
    known = {canonical(n): i + 1 for i, n in enumerate(names) if n != "N/A"}
    rows = [(0, 0)] + [
        (i + 1, known[canonical(n)]) for i, n in enumerate(classes) if canonical(n) in known
    ]
    new, old = (torch.tensor(r) for r in zip(*rows, strict=True))
    merged = dict(state)
    if not any("mask" in key for key in state):
        merged |= {key: value for key, value in current.items() if "mask" in key}
    for key, per_class in (
        ("roi_heads.box_predictor.cls_score", 1),
        ("roi_heads.box_predictor.bbox_pred", 4),
        ("roi_heads.mask_predictor.mask_fcn_logits", 1),
    ):
        for part in ("weight", "bias"):
            full = f"{key}.{part}"
            if full not in state:
                continue
            source = state[full].unflatten(0, (-1, per_class))
            if source.shape[0] < int(old.max()) + 1 or source.shape[2:] != current[full].shape[1:]:
                continue  # another width: reported with the other mismatches below
            target = current[full].clone().unflatten(0, (-1, per_class))
            target[new] = source[old]
            merged[full] = target.flatten(0, 1)
    check_and_load(detector, merged, weights)


def check_and_load(
    module: nn.Module,
    state: dict[str, Tensor],
    name: str,
    remedy: str = "check --preset and what changes its backbone or its widths",
) -> None:
    """``load_state_dict`` whose UserError names the first tensor that is missing, extra or of
    another shape."""
    wanted = module.state_dict()
    # Counters of BatchNorm: frozen ones have none, and nothing reads them.
    state = {k: v for k, v in state.items() if k in wanted or not k.endswith("num_batches_tracked")}
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros((), dtype=value.dtype))
        elif key not in state:
            raise UserError(f"{name}: does not fit the architecture: {key} is missing; {remedy}")
        elif state[key].shape != value.shape:
            raise UserError(
                f"{name}: does not fit the architecture: {key} is {tuple(state[key].shape)} "
                f"instead of {tuple(value.shape)}; {remedy}"
            )
    if extra := sorted(set(state) - set(wanted)):
        raise UserError(
            f"{name}: does not fit the architecture: {extra[0]} is not part of it; {remedy}"
        )
    module.load_state_dict(state)

"""What was run, on what, with which versions: the last section of the page."""

from __future__ import annotations

import datetime
import os
import platform
import re
from contextlib import suppress
from functools import cache
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dmaskrcnn.arrays import torch_or_none
from dmaskrcnn.data import open_dataset
from dmaskrcnn.errors import UserError
from dmaskrcnn.report.material import Material
from dmaskrcnn.run import Run
from dmaskrcnn.version import __version__

_FACTS = ("method", "preset", "seed", "weights", "source", "target", "adabn", "test")


def provenance(material: Material) -> str:
    """As HTML."""
    parts = [_definitions(_circumstances(material))]
    for group in material.groups:
        for run in group.runs:
            name = group.name if len(group.runs) == 1 else f"{group.name}: {run.name}"
            parts.append(f"<h3>{escape(name)}</h3>{_run(run)}")
    return "".join(parts)


def hardware(device: str = "auto") -> str:
    """The processor and how many of its cores may be used, or the GPU where one is used."""
    torch = torch_or_none()
    if torch and device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()  # on Linux often no more than "x86_64"
    with suppress(OSError):  # not Linux
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if model := re.search(r"^model name\s*:\s*(.*?)\s*$", text, re.M):
            name = model[1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _circumstances(material: Material) -> dict[str, str]:
    facts = {
        "this page was made on": f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        "with": f"dmaskrcnn {__version__}, torch {version('torch')}, torchvision "
        f"{version('torchvision')}, Python {platform.python_version()}",
        "hardware": hardware(material.device),
    }
    if material.comparison:
        paths = ", ".join(map(str, material.comparison.data))
        scores = material.rows[0].scores
        facts["test set"] = f"{paths}: {scores.images:,} images, {_counts(scores.objects)}"
        facts["resampling"] = f"{scores.bootstrap:,} resamples, seed {scores.seed}"
    if material.source is not None:
        facts["source images at hand"] = f"{len(material.source):,}"
    if material.target is not None:
        facts["target images at hand"] = f"{len(material.target):,}, read without labels"
    return {key: escape(value) for key, value in facts.items()}


def _run(run: Run) -> str:
    if run.is_results:
        return _definitions({"predictions": escape(str(run))})
    config = run.config
    facts = {"folder": str(run)}
    facts |= {key: _plain(config[key]) for key in _FACTS if config.get(key) not in (None, [], "")}
    facts |= {"training": _training(run), "source holds": _source_counts(config)}
    facts["saved weights"] = run.weights_said
    with suppress(UserError):  # before the first checkpoint there is no model.json
        facts["classes"] = _plain(run.classes)
    text = f"<pre>{escape(run.config_text)}</pre>"
    details = f"<details><summary>config.yaml</summary>{text}</details>" if config else ""
    return _definitions({key: escape(value) for key, value in facts.items() if value}) + details


def _training(run: Run) -> str:
    """How long it took and when it ended, as far as the run folder says."""
    if not (rows := run.metrics):
        return ""
    minutes = f" in {rows[-1]['seconds'] / 60:.1f} minutes" if "seconds" in rows[-1] else ""
    length = f"{rows[-1]['iteration']:,.0f} iterations{minutes}"
    return f"{length}; last row written {run.last_logged:%Y-%m-%d}"


def _source_counts(config: dict[str, Any]) -> str:
    """Images and objects of the labelled source, if it is still there. Never of the target."""
    paths = tuple(str(path) for path in config.get("source") or ())
    if not paths:
        return ""
    classes = tuple(config.get("classes") or ())
    folders = tuple(map(str, config.get("images") or ()))
    with suppress(UserError):  # it is gone, or changed since
        return _labelled_counts(paths, classes, bool(config.get("drop_invalid")), folders)
    return ""


@cache  # several runs mostly share their source
def _labelled_counts(
    paths: tuple[str, ...],
    classes: tuple[str, ...],
    drop_invalid: bool,
    folders: tuple[str, ...],
) -> str:
    data = open_dataset(*paths, classes=classes or None, drop_invalid=drop_invalid, folders=folders)
    labels = data.objects.labels.tolist() if data.objects is not None else []
    counts = _counts({name: labels.count(i) for i, name in enumerate(data.classes)})
    return f"{len(data):,} images, {counts}"


def _counts(objects: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in objects.items()) or "no objects"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _definitions(facts: dict[str, str]) -> str:
    items = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>"

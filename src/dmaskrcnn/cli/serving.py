"""What `dmaskrcnn serve`, `dmaskrcnn app` and `dmaskrcnn gauge` hand their flags to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.cli.flags import refuse
from dmaskrcnn.cli.gauge_verb import Gauge
from dmaskrcnn.cli.serve_verbs import App, Serve
from dmaskrcnn.errors import UserError
from dmaskrcnn.extras import install_command

if TYPE_CHECKING:
    from dmaskrcnn.detector.predictor import Predictor


def serve_verb(
    verb: Serve, opened: Callable[[Sequence[Path], str], Mapping[str, Predictor]] | None = None
) -> None:
    """Serve runs over HTTP; ``opened`` gives the detectors of folders by name, on a device."""
    if not verb.clear:
        refuse(verb, "without --clear: add that, or leave it out", "haze_thresholds")
    _need("serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
    from dmaskrcnn.haze.switch import HazeSwitch
    from dmaskrcnn.serve.limits import Limits
    from dmaskrcnn.serve.server import bind, run_server
    from dmaskrcnn.serve.service import ClearAir, Service

    limits = Limits(
        max_upload=verb.max_upload,
        max_pixels=verb.max_pixels,
        queue=verb.queue,
        timeout=verb.timeout,
        batch_size=verb.batch_size,
        threshold=verb.threshold,
    )
    switch = HazeSwitch(*verb.haze_thresholds)
    with bind(verb.host, verb.port) as bound:
        paths = [*verb.runs, *([verb.clear] if verb.clear else [])]
        detectors = (opened or _detectors)(paths, verb.device)
        clear = ClearAir(list(detectors)[-1], switch) if verb.clear else None
        run_server(Service(detectors, limits, clear), bound)


def app_verb(verb: App) -> None:
    """Show the page."""
    _need("app", "gradio")
    from dmaskrcnn.device import resolve_device
    from dmaskrcnn.serve.app_page import run_page
    from dmaskrcnn.serve.server import bind

    with bind(verb.host, verb.port) as bound:  # in use? better known before detectors are loaded
        port = bound.getsockname()[1]
    run_page(_detectors(verb.runs, verb.device), verb.host, port, resolve_device(verb.device))


def gauge_verb(verb: Gauge) -> None:
    """Gauge pictures and tell it."""
    from dmaskrcnn.files import write_text
    from dmaskrcnn.images.gauging import TOLD, gauge_images, told
    from dmaskrcnn.output_folder import check_marked

    if verb.out is not None:
        check_marked(verb.out, "gauge", TOLD)
    text = told(gauge_images(verb.images), verb.format)
    if verb.out is None:
        print(text, end="")
    else:
        write_text(verb.out, text)
        print(verb.out)


def _detectors(paths: Sequence[Path], device: str) -> dict[str, Predictor]:
    """The detectors of run folders, by name."""
    from dmaskrcnn.run import open_run, run_names

    runs = [open_run(path) for path in paths]
    if not runs:
        raise UserError("no run given; name one or more run folders")
    for run in runs:
        if which := run.weights_said:
            print(f"{run}: {which}", file=sys.stderr)
    names = run_names(runs)
    return {name: run.detector(device) for name, run in zip(names, runs, strict=True)}


def _need(extra: str, *modules: str) -> None:
    """Raises UserError where an optional library is missing."""
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise UserError(
                f"{extra}: needs the package {error.name}: {install_command(extra)}"
            ) from error

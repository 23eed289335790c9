"""The page in the browser: a picture as it is, dehazed, and with the objects that each run finds.

It is served from this machine alone: no analytics, no public link, nothing fetched from elsewhere;
a policy in the header of every answer has the browser keep to that.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: that one reports, too
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
import gradio as gr
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from torch import Tensor

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.image import is_image
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.draw import JPEG, as_picture, contact_sheet
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.serve.dropped import read_dropped, video_seconds

LEAST = 0.1  # score of what is kept for the slider; masks of lower ones would fill the memory
SESSIONS = 16  # browsers whose last picture is remembered
MOST_MB = 500  # of a dropped file: a minute of video
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:"
)
CSS = """
.gradio-container { width: 100% !important; max-width: 1500px !important; margin: 0 auto; }
#heading h1 { margin: .2em 0 0; } #heading p { margin: .2em 0 .6em; opacity: .75; }
#pictures { gap: 12px; }
@media (max-width: 640px) { .gradio-container { padding: 8px !important; } }
"""
FONT, MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]


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
        dehazed = image
        if dehazing != "none":
            if dehazing not in self._dehazers:
                self._dehazers[dehazing] = Dehazer(dehazing, device=self.device)
            dehazed = self._dehazers[dehazing](image)[0].cpu()
        given = dehazed if in_dehazed else image
        found = {name: self.runs[name].predict([given], LEAST)[0] for name in names}
        haze = haziness(image)
        looked_at = "dehazed" if in_dehazed and dehazing != "none" else "image"
        return Seen(Path(file).name, image, dehazed, haze, found, dehazing, looked_at)

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


def make_page(page: Page) -> gr.Blocks:
    """The controls, and what they are tied to."""
    names = list(page.runs)
    button: dict[str, Any] = {"interactive": False, "size": "sm", "min_width": 110}
    methods = [("none", "none"), *((method.label, key) for key, method in DEHAZERS.items())]
    with gr.Blocks(
        title="dmaskrcnn", analytics_enabled=False, delete_cache=(3600, 7200), fill_width=True
    ) as blocks:
        gr.Markdown(
            "# Objects in haze\nDrop a photograph or a video: dehazed, and through the eyes of "
            "each run.",
            elem_id="heading",
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(
                    label="Picture or video",
                    file_types=["image", "video"],
                    height=140,
                    elem_id="file",
                )
                second = gr.Slider(
                    0, 1, 0, step=0.1, label="Second of the video", visible=False, elem_id="second"
                )
                threshold = gr.Slider(
                    LEAST, 0.95, 0.5, step=0.05, label="Threshold", elem_id="threshold"
                )
                dehazing = gr.Dropdown(
                    methods, value="dark-channel-robust", label="Dehazing", elem_id="dehazing"
                )
                in_dehazed = gr.Checkbox(
                    False, label="Runs look at the dehazed picture", elem_id="in-dehazed"
                )
                runs = gr.CheckboxGroup(names, value=names, label="Runs", elem_id="runs")
                with gr.Row():
                    as_json = gr.DownloadButton("Download JSON", **button, elem_id="json")
                    as_sheet = gr.DownloadButton("Download picture", **button, elem_id="picture")
            with gr.Column(scale=4, min_width=320), gr.Row(elem_id="pictures"):
                places = [
                    gr.Image(
                        show_label=True,
                        interactive=False,
                        visible=place == 0,
                        label="Nothing dropped yet",
                        format="jpeg",
                        min_width=320,
                        buttons=["download", "fullscreen"],
                        elem_id=f"shown-{place}",
                    )
                    for place in range(2 + len(names))
                ]
        state = gr.State(None)

        def look(path: str | None, *choices: Any) -> Seen | None:
            if path is None:
                return None
            try:
                return page.look(path, *choices)
            except UserError as error:
                said = str(error).removeprefix(f"{path}: ")
                raise gr.Error(said, print_exception=False) from None

        def show(seen: Seen | None, lowest: float) -> list[Any]:
            if seen is None:
                empty = gr.Image(None, visible=True, label="Nothing dropped yet")
                rest = [gr.Image(None, visible=False)] * (len(places) - 1)
                return [empty, *rest, *[gr.DownloadButton(interactive=False)] * 2]
            shown = page.pictures(seen, lowest)
            pictures = [gr.Image(value, label=said, visible=True) for value, said in shown]
            pictures += [gr.Image(None, visible=False)] * (len(places) - len(shown))
            links = page.files(seen, lowest, shown)
            return [*pictures, *(gr.DownloadButton(value=link, interactive=True) for link in links)]

        def moved(path: str | None) -> Any:
            length = 0.0
            with suppress(UserError):  # which looking at it tells
                if path and not is_image(Path(path)):
                    length = video_seconds(Path(path))
            return gr.Slider(0, max(length, 0.1), 0, visible=length > 0)

        choices = [file, second, dehazing, runs, in_dehazed]
        outputs = [*places, as_json, as_sheet]
        file.change(moved, [file], [second], show_progress="hidden").then(
            look, choices, [state], show_progress="hidden"
        ).success(show, [state, threshold], outputs)
        changes = [second.release, dehazing.change, runs.change, in_dehazed.change]
        gr.on(changes, look, choices, [state], show_progress="hidden").success(
            show, [state, threshold], outputs
        )
        threshold.release(show, [state, threshold], outputs, show_progress="hidden")
    return blocks.queue(default_concurrency_limit=1)


class _Policy:
    """Middleware that has the browser fetch nothing from elsewhere."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                ]
            await send(message)

        await self._app(scope, receive, with_policy)


def run_page(runs: Mapping[str, Predictor], host: str, port: int, device: Any) -> None:
    """Show the page until Ctrl-C or SIGTERM; says on stdout where it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads go with it
        page = make_page(Page(runs, device, Path(folder)))
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=MOST_MB * 1_000_000,
            state_session_capacity=SESSIONS,
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Default(font=FONT, font_mono=MONO),  # pyright: ignore[reportPrivateImportUsage]
            css=CSS,
            app_kwargs={"middleware": [Middleware(_Policy)], "docs_url": None, "redoc_url": None},
        )
        print(f"the page is on http://{host}:{port} (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        page.close(verbose=False)

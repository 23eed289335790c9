"""The page in the browser: a picture as it is, dehazed, and with the objects that each run finds.

It is served from this machine alone: no analytics, no public link, nothing fetched from elsewhere;
a policy in the header of every answer has the browser keep to that.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: that one reports, too
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
import gradio as gr
from starlette.middleware import Middleware

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.image import is_image
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.errors import UserError
from dmaskrcnn.serve.controls import LEAST, Page, Seen
from dmaskrcnn.serve.dropped import video_seconds
from dmaskrcnn.serve.policy import Policy
from dmaskrcnn.serve.whole_video import MOST_SECONDS

SESSIONS = 16  # browsers whose last picture is remembered
MOST_MB = 500  # of a dropped file: a minute of 4K video
CSS = """
.gradio-container { width: 100% !important; max-width: 1500px !important; margin: 0 auto; }
#heading h1 { margin: .2em 0 0; } #heading p { margin: .2em 0 .6em; opacity: .75; }
#pictures { gap: 12px; }
@media (max-width: 640px) { .gradio-container { padding: 8px !important; } }
"""
FONT, MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]


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
                whole = gr.Button(
                    f"Annotate the whole video (up to {MOST_SECONDS} s)",
                    visible=False,
                    elem_id="whole",
                )
                with gr.Row():
                    as_json = gr.DownloadButton("Download JSON", **button, elem_id="json")
                    as_sheet = gr.DownloadButton("Download picture", **button, elem_id="picture")
            with gr.Column(scale=4, min_width=320):
                with gr.Row(elem_id="pictures"):
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
                with gr.Row(elem_id="videos"):
                    players = [
                        gr.Video(
                            interactive=False,
                            visible=False,
                            min_width=320,
                            buttons=["download"],
                            elem_id=f"video-{place}",
                        )
                        for place in range(len(names))
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
            slider = gr.Slider(0, max(length, 0.1), 0, visible=length > 0)
            return [slider, gr.Button(visible=length > 0), *players_of([])]

        def players_of(videos: Sequence[tuple[str | None, str]]) -> list[Any]:
            shown = [gr.Video(path, label=said, visible=True) for path, said in videos]
            return shown + [gr.Video(None, visible=False)] * (len(players) - len(shown))

        def begin(chosen: Sequence[str]) -> list[Any]:
            return players_of([(None, f"{name}: waiting") for name in chosen])

        bar = gr.Progress()

        def watch(
            path: str, kind: str, chosen: list[str], dehazed: bool, lowest: float, bar: Any = bar
        ) -> list[Any]:
            try:
                videos = page.videos(path, kind, chosen, dehazed, lowest, bar)
            except UserError as error:
                said = str(error).removeprefix(f"{path}: ")
                raise gr.Error(said, print_exception=False) from None
            return players_of(videos)

        choices = [file, second, dehazing, runs, in_dehazed]
        outputs = [*places, as_json, as_sheet]
        dropped = [second, whole, *players]
        file.change(moved, [file], dropped, show_progress="hidden").then(
            look, choices, [state], show_progress="hidden"
        ).success(show, [state, threshold], outputs)
        changes = [second.release, dehazing.change, runs.change, in_dehazed.change]
        gr.on(changes, look, choices, [state], show_progress="hidden").success(
            show, [state, threshold], outputs
        )
        whole.click(begin, [runs], players, show_progress="hidden").then(
            watch, [file, dehazing, runs, in_dehazed, threshold], players
        ).failure(lambda: players_of([]), None, players, show_progress="hidden")
        threshold.release(show, [state, threshold], outputs, show_progress="hidden")
    return blocks.queue(default_concurrency_limit=1)


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
            app_kwargs={"middleware": [Middleware(Policy)], "docs_url": None, "redoc_url": None},
        )
        print(f"the page is on http://{host}:{port} (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        page.close(verbose=False)

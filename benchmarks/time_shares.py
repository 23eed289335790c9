"""Where the time of a training step, a prediction and a scoring goes: a picture of each.

    python benchmarks/time_shares.py --out docs/images     # the pictures of docs/performance.md
    python benchmarks/time_shares.py --jobs prediction --model r50 --seconds 60
    python benchmarks/time_shares.py --tiny                # seconds, for CI

A thread looks every 5 ms at what the others do, and notes the innermost line of this project, or
that it is the backward pass or the optimiser; who waits for another thread is not counted. Of
random weights and rendered scenes, on a CPU with one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from inference import save_random

PACKAGE = f"{Path('src', 'dmaskrcnn')}/"
EVERY = 0.005  # s
SHOWN = 12  # places; the others are one
# files of libraries: that in which a thread is when it waits, and what theirs is called
WAITING = ("threading.py", "queue.py", "selectors.py", "concurrent/futures/thread.py")
THEIRS = {"torch/autograd/": "backward pass", "torch/optim/": "optimiser"}
SIDES = {"tiny": (64, 96), "r18": (480, 640), "r50": (800, 1066)}


def main() -> None:
    """Watch the jobs and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--model", choices=SIDES, default="r18")
    parser.add_argument("--seconds", type=float, default=40, help="of each job, about")
    parser.add_argument("--out", type=Path, help="folder for profile-JOB.svg")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.seconds = "tiny", 0.5
    import torch

    torch.set_num_threads(1)
    for name in arguments.jobs:
        with tempfile.TemporaryDirectory() as scratch:
            repeat = JOBS[name](Path(scratch), arguments.model)
            repeat()  # what is made once, and imports
            watcher = Watcher()
            began = time.monotonic()
            while time.monotonic() - began < arguments.seconds or not watcher.seen:
                repeat()
            watcher.stop()
        print(f"\n{name}")
        for place, share in watcher.shares():
            print(f"{100 * share:5.1f} %  {place}")
        if arguments.out:
            draw(watcher.shares(), arguments.out / f"profile-{name}.svg")


def step(folder: Path, model: str) -> Callable[[], object]:
    """Six iterations of a training, without their start and end."""
    from dmaskrcnn.config.train import TrainConfig
    from dmaskrcnn.demo import write_scenes
    from dmaskrcnn.distributed import processes
    from dmaskrcnn.methods.parts.losses import Losses
    from dmaskrcnn.training.inputs import make_batches, open_data
    from dmaskrcnn.training.learner import follow
    from dmaskrcnn.training.state import TrainingState

    data = write_scenes(folder / "scenes", 12, seed=1, size=SIDES[model])
    more = {"fpn_channels": 16, "image_size": 64, "max_size": 96} if model == "tiny" else {}
    config = TrainConfig.from_preset(
        "default" if model == "r50" else "cpu",
        method="source",
        source=(data,),
        weights="scratch",
        device="cpu",
        **more,
    )
    source, target = open_data(config)
    with processes("cpu") as device:
        state = TrainingState(config, source, target, device)
    batches, phase = make_batches(config, source, target, {}), config.phases[-1]
    state.enter(phase)
    from dmaskrcnn.data import batch_loader

    loader = batch_loader(batches, 0, None, 0)

    def steps() -> None:
        for _ in range(3):
            batch = next(loader)
            state.optimizer.zero_grad(set_to_none=True)
            losses: Losses = state.model(batch, 0.5)
            losses.total().backward()
            state.learner.clip(config)
            state.optimizer.step()
            if state.ema is not None:
                follow(state.ema, state.detector, 0.99)

    return steps


def prediction(folder: Path, model: str) -> Callable[[], object]:
    """`predict` of eight pictures, to files."""
    from PIL import Image

    from dmaskrcnn.demo import render_scene
    from dmaskrcnn.images.predict import predict_images
    from dmaskrcnn.run import Run

    save_random(model.replace("tiny", "r18"), folder / "run", model == "tiny")
    detector = Run(folder / "run").detector("cpu")
    (folder / "pictures").mkdir()
    for seed in range(8):
        picture = Image.fromarray(render_scene(seed, *SIDES[model]).image)
        picture.save(folder / "pictures" / f"{seed}.jpg", quality=92)
    inputs, out = [folder / "pictures"], folder / "out"
    return lambda: predict_images(detector, inputs, out, 0.05, progress=False)


def scoring(folder: Path, model: str) -> Callable[[], object]:
    """Scores of a results JSON with masks, intervals included."""
    from dmaskrcnn.demo import write_scenes
    from dmaskrcnn.evaluation.evaluate import evaluate
    from dmaskrcnn.evaluation.labelled import open_test_set
    from dmaskrcnn.run import Run

    data = write_scenes(folder / "scenes", 6 if model == "tiny" else 60, seed=1, size=SIDES[model])
    save_random(model.replace("tiny", "r18"), folder / "run", model == "tiny")
    test = open_test_set([data], known=Run(folder / "run").classes)
    results = folder / "predictions.json"
    evaluate(Run(folder / "run"), test, results=results, bootstrap=0, device="cpu")
    return lambda: evaluate(results, test)


JOBS = {"step": step, "prediction": prediction, "scoring": scoring}


class Watcher:
    """Looks at all threads until it is stopped.

    Attributes:
        seen: how often a thread was at a place.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """No longer."""
        self._end.set()
        self._thread.join()

    def shares(self) -> list[tuple[str, float]]:
        """The places by their share of the time, the largest first; small ones as one."""
        most = self.seen.most_common(SHOWN)
        total = sum(self.seen.values())
        rest = total - sum(count for _, count in most)
        return [(place, count / total) for place, count in [*most, ("the rest", rest)] if count]

    def _watch(self) -> None:
        own = threading.get_ident()
        while not self._end.wait(EVERY):
            for thread, frame in sys._current_frames().items():
                if thread != own and (found := place(frame)):
                    self.seen[found] += 1


def place(frame: FrameType | None) -> str:
    """Where a thread is: file and function; empty where it waits, or is none of ours."""
    if frame is not None and frame.f_code.co_filename.endswith(WAITING):
        return ""
    while frame is not None:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        for part, name in THEIRS.items():
            if part in file:
                return name
        if PACKAGE in file:
            return f"{file.rpartition(PACKAGE)[2].removesuffix('.py')}: {function.strip('<>')}"
        frame = frame.f_back
    return ""


def draw(shares: list[tuple[str, float]], file: Path) -> None:
    """A bar for each place."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    # the same bytes for the same numbers, and text that can be searched
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dmaskrcnn"})
    figure, axes = plt.subplots(figsize=(7, 0.3 * len(shares) + 0.4), layout="constrained")
    places, parts = zip(*reversed(shares), strict=True)
    bars = axes.barh(places, [100 * part for part in parts], color="#546e7a")
    axes.bar_label(bars, fmt=" %.0f %%")
    axes.set_xlim(0, 112 * max(parts))
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()

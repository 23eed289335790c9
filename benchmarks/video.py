"""Frames per second of `dmaskrcnn predict RUN VIDEO`, beside those of the network alone.

    python benchmarks/video.py RUN road.mp4 --seconds 4 --rounds 7
    python benchmarks/video.py --tiny --rounds 1  # a detector and a video of nothing: seconds

``predict`` reads, detects, draws, encodes and writes JSON and CSV; ``network`` is the detector
alone on the same frames, decoded before, in batches of the same size. They take turns, the order
changing with every round, after one round to warm up. The ratio is the median of the rounds'
ratios, with the interval that holds the median of such rounds in 95 of 100 cases (order statistics:
David & Nagaraja, Order Statistics, 2003, section 7.1).

Besides: processor milliseconds per frame of each, and of the parts of ``predict`` one by one. What
``predict`` adds is spread over the cores that the network leaves free; where it leaves none, the
ratio cannot be above the network's processor time over that of ``predict``, which the table states
as its floor.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference import save_random

from dmaskrcnn.detections import Detections
from dmaskrcnn.evaluation.text import Table
from dmaskrcnn.images.predict_videos import predict_videos
from dmaskrcnn.images.video import VideoReader
from dmaskrcnn.images.video_frame import Frame
from dmaskrcnn.images.video_inputs import VideoSource
from dmaskrcnn.images.video_options import VideoOptions
from dmaskrcnn.images.video_out import VideoWriter
from dmaskrcnn.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the video, kept in memory")
    parser.add_argument("--rounds", type=int, default=7, help="after one to warm up")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: torch's choice")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="no run and no video, for tests")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    args = parser.parse_args()
    if not args.tiny and args.video is None:
        parser.error("name a run and a video, or --tiny")
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(args, Path(scratch))
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Wall and processor seconds of every round, by variant and by part."""
    run = save_random("r18", scratch / "run", tiny=True) if args.tiny else args.run
    detector = Run(run).detector(args.device)
    video = tiny_video(scratch / "tiny.mp4") if args.tiny else args.video
    source = VideoSource(str(video), "file", Path("video"))
    options = VideoOptions(args.threshold, args.batch_size, end=args.seconds)
    with closing(VideoReader(source, end=args.seconds)) as reader:
        frames = list(reader)
        size = f"{reader.width} × {reader.height}"

    def network() -> list[Detections]:
        size, found = args.batch_size, []
        for begin in range(0, len(frames), size):
            images = [frame.image for frame in frames[begin : begin + size]]
            found += detector.predict(images, args.threshold)
        return found

    def predict() -> None:
        predict_videos(detector, [source], scratch / "out", options, progress=False)

    variants: dict[str, Callable[[], Any]] = {"network": network, "predict": predict}
    found = network()
    steps = parts(source, options, frames, found, scratch)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in (*variants, *steps)}
    for turn in range(-1, args.rounds):
        for name in (*(list(variants) if turn % 2 else reversed(variants)), *steps):
            taken = timed((variants | steps)[name])
            if turn >= 0:
                times[name].append(taken)
    what = f"{len(frames)} frames of {size}, {sum(map(len, found))} objects, batches of "
    what += f"{args.batch_size}, {torch.get_num_threads()} threads"
    return {"what": what, "frames": len(frames), "seconds": times, "parts": list(steps)}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall clock, and of all cores together."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def parts(
    source: VideoSource,
    options: VideoOptions,
    frames: list[Frame],
    found: list[Detections],
    scratch: Path,
) -> dict[str, Callable[[], Any]]:
    """What ``predict`` does beside the network, one by one."""
    drawn: list[np.ndarray] = []

    def read() -> None:
        with closing(VideoReader(source, end=options.end, sound=True)) as reader:
            for _ in reader:
                pass

    def draw() -> None:
        drawn[:] = [
            np.asarray(one.draw(frame.image)) for frame, one in zip(frames, found, strict=True)
        ]

    def encode() -> None:
        with closing(VideoReader(source, end=options.end)) as reader:
            writer = VideoWriter(scratch / "alone.mp4", reader)
            for frame, picture in zip(frames, drawn, strict=True):
                writer.write(picture, frame)
            writer.close()

    def record() -> None:
        for one in found:
            json.dumps(one.to_dict())

    return {"read": read, "draw": draw, "encode": encode, "masks as JSON": record}


def tiny_video(path: Path) -> Path:
    """Noise that moves, one second."""
    import av

    noise = np.random.default_rng(0).integers(0, 256, (64, 150, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(10):
            picture = np.ascontiguousarray(noise[:, 4 * number : 4 * number + 96])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def median_interval(values: list[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics around the median that holds it in 95 of 100 cases;
    all of the values where they are too few for that."""
    ordered, count = sorted(values), len(values)
    for low in range(count // 2, -1, -1):  # values outside on each side
        outside = 2 * sum(math.comb(count, k) for k in range(low + 1)) / 2**count
        if outside <= 0.05 or low == 0:
            return ordered[low], ordered[count - 1 - low]
    return ordered[0], ordered[-1]


def table(result: dict[str, Any]) -> str:
    """Frames per second and processor time, and the ratio, as Markdown."""
    times, frames = result["seconds"], result["frames"]
    rows = [["", "frames/s (median)", "min to max", "processor ms a frame"]]
    for name, taken in times.items():
        rates = [frames / wall for wall, _ in taken]
        spread = f"{min(rates):.1f} to {max(rates):.1f}"
        processor = 1000 * statistics.median(p for _, p in taken) / frames
        said = name if name not in result["parts"] else f"{name}, alone"
        rows.append([said, f"{statistics.median(rates):.1f}", spread, f"{processor:.1f}"])
    pairs = list(zip(times["network"], times["predict"], strict=True))
    ratios = [network[0] / predict[0] for network, predict in pairs]
    floor = statistics.median(network[1] / predict[1] for network, predict in pairs)
    low, high = median_interval(ratios)
    ratio = f"{statistics.median(ratios):.1%}"
    rows.append(["predict / network", ratio, f"[{low:.1%}, {high:.1%}]", f"floor {floor:.1%}"])
    return f"{result['what']}\n\n{Table(rows).markdown()}"


if __name__ == "__main__":
    main()

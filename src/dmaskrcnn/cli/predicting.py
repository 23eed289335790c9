"""What `dmaskrcnn predict` and `dmaskrcnn-runtime predict` hand their flags to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dmaskrcnn.cli.flags import refuse
from dmaskrcnn.cli.picture_verbs import FOR_VIDEOS, Predict

if TYPE_CHECKING:
    from dmaskrcnn.detector.predictor import Predictor


def predict_verb(verb: Predict, opened: Callable[[Path, str], Predictor] | None = None) -> None:
    """Find objects in pictures and videos; ``opened`` gives the detector in a folder, on a
    device."""
    verb.check_cluster()
    if not verb.clear:
        refuse(verb, "without --clear: add that, or leave it out", "haze_thresholds")
    if verb.cluster:
        from dmaskrcnn.cli.clustering import predict_on_cluster

        return predict_on_cluster(verb)

    from dmaskrcnn.haze.switch import HazeSwitch
    from dmaskrcnn.images.by_detector import ClearOrHazy, in_tiles
    from dmaskrcnn.images.open_video import need_av, parse_time
    from dmaskrcnn.images.predict import predict_images
    from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
    from dmaskrcnn.images.video_inputs import sort_inputs

    options = VideoOptions(
        verb.threshold,
        verb.batch_size,
        verb.every,
        parse_time(verb.start, "--start") or 0.0,
        parse_time(verb.end, "--end"),
        verb.track,
        verb.line,
        verb.show,
        verb.video,
    )
    pictures, videos = sort_inputs(verb.images, verb.out)
    if not videos:
        refuse(verb, "for pictures, and no video is given: leave it out", *FOR_VIDEOS)
    if videos:
        need_av()  # said before the detector is loaded

    detector_in = opened or _detector
    predictor = detector_in(verb.run, verb.device)
    if verb.clear:
        switch = HazeSwitch(*verb.haze_thresholds)
        predictor = ClearOrHazy(predictor, detector_in(verb.clear, verb.device), switch)
    if pictures or not videos:
        print(
            predict_images(
                predictor, pictures, verb.out, verb.threshold, verb.batch_size, tiles=verb.tiles
            )
        )
    if videos:
        tiled = in_tiles(predictor, verb.tiles, verb.batch_size)
        print(predict_videos(tiled, videos, verb.out, options))
    if isinstance(predictor, ClearOrHazy):
        print(f"{verb.clear}: {predictor.clear_count} of them were clear", file=sys.stderr)


def _detector(path: Path, device: str) -> Predictor:
    from dmaskrcnn.run import open_run

    run = open_run(path)
    if which := run.weights_said:
        print(f"{run}: {which}", file=sys.stderr)
    return run.detector(device)

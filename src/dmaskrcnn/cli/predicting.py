"""What `dmaskrcnn predict` hands its flags to."""

from __future__ import annotations

import sys

from dmaskrcnn.cli.clustering import predict_on_cluster
from dmaskrcnn.cli.picture_verbs import Predict


def predict_verb(verb: Predict) -> None:
    """Find objects in pictures and videos."""
    verb.check_cluster()
    if verb.cluster:
        return predict_on_cluster(verb)

    from dmaskrcnn.detector.tiles import Tiled
    from dmaskrcnn.haze.switch import HazeSwitch
    from dmaskrcnn.images.by_detector import ClearOrHazy
    from dmaskrcnn.images.open_video import need_av, parse_time
    from dmaskrcnn.images.predict import predict_images
    from dmaskrcnn.images.predict_videos import VideoOptions, predict_videos
    from dmaskrcnn.images.video_inputs import sort_inputs
    from dmaskrcnn.run import open_run

    options = VideoOptions(
        verb.threshold,
        verb.batch_size,
        verb.every,
        parse_time(verb.start, "--start") or 0.0,
        parse_time(verb.end, "--end"),
        verb.track,
        verb.line,
        verb.show,
    )
    pictures, videos = sort_inputs(verb.images, verb.out)
    if videos:
        need_av()  # said before the detector is loaded

    run = open_run(verb.run)
    detector = run.detector(verb.device)
    if which := run.weights_said:
        print(f"{run}: {which}", file=sys.stderr)
    predictor = detector
    if verb.clear:
        switch = HazeSwitch(*verb.haze_thresholds)
        predictor = ClearOrHazy(detector, open_run(verb.clear).detector(verb.device), switch)
    if pictures or not videos:
        print(
            predict_images(
                predictor, pictures, verb.out, verb.threshold, verb.batch_size, tiles=verb.tiles
            )
        )
    if videos:
        watcher = Tiled(predictor, verb.tiles, verb.batch_size) if verb.tiles else predictor
        print(predict_videos(watcher, videos, verb.out, options))
    if isinstance(predictor, ClearOrHazy):
        print(f"{verb.clear}: {predictor.clear_count} of them were clear", file=sys.stderr)

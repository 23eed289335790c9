"""What `dmaskrcnn predict` hands its flags to."""

from __future__ import annotations

import sys

from dmaskrcnn.cli.picture_verbs import Predict


def predict_verb(verb: Predict) -> None:
    """Find objects in pictures."""
    from dmaskrcnn.haze.switch import HazeSwitch
    from dmaskrcnn.images.by_detector import ClearOrHazy
    from dmaskrcnn.images.predict import predict_images
    from dmaskrcnn.run import Run, open_run

    run = Run(verb.run)
    detector = run.detector(verb.device)
    if which := run.weights_said:
        print(f"{run}: {which}", file=sys.stderr)
    predictor = detector
    if verb.clear:
        switch = HazeSwitch(*verb.haze_thresholds)
        predictor = ClearOrHazy(detector, open_run(verb.clear).detector(verb.device), switch)
    print(predict_images(predictor, verb.images, verb.out, verb.threshold, verb.batch_size))
    if isinstance(predictor, ClearOrHazy):
        print(f"{verb.clear}: {predictor.clear_count} of them were clear", file=sys.stderr)

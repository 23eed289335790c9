"""What `dmaskrcnn predict` hands its flags to."""

from __future__ import annotations

import sys

from dmaskrcnn.cli.picture_verbs import Predict


def predict_verb(verb: Predict) -> None:
    """Find objects in pictures."""
    from dmaskrcnn.images.predict import predict_images
    from dmaskrcnn.run import Run

    run = Run(verb.run)
    detector = run.detector(verb.device)
    if which := run.weights_said:
        print(f"{run}: {which}", file=sys.stderr)
    print(
        predict_images(
            detector, verb.images, verb.out, verb.threshold, verb.batch_size, tiles=verb.tiles
        )
    )

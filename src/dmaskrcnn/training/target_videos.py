"""Videos among the target of a training: frames of them in folders take their place, so that all
that follows knows pictures alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.config.uses import without
from dmaskrcnn.data.image import set_max_pixels
from dmaskrcnn.distributed import broadcast_path, rank
from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import flag
from dmaskrcnn.images.video_inputs import VideoSource, holds_pictures, videos_at


def with_frames(config: TrainConfig) -> TrainConfig:
    """The configuration with the `target_with_frames` of ``OUT/frames``, which are pictures from
    then on, in whatever is begun with it again. Under torchrun every process calls this.

    Raises:
        UserError: as `target_with_frames`; seconds between frames where there is no video.
    """
    target = config.target
    if config.adapts or config.adabn:
        set_max_pixels(config.max_pixels)
        target = target_with_frames(target, config.out, config.target_every)
    usual = TrainConfig.target_every
    if target == config.target and config.target_every != usual:
        raise UserError(f"{flag('target_every')} has no use {without('a video as --target')}")
    return replace(config, target=target, target_every=usual)


def target_with_frames(target: Sequence[Path], out: Path, every: float) -> tuple[Path, ...]:
    """The target with a folder of frames in ``out/frames`` for every video in it: one named itself,
    in a folder, or that a pattern matches. Pictures beside them stay part of the target.

    Args:
        target: as the user named it.
        out: where trainings write to.
        every: seconds between two frames that are looked at.

    Raises:
        UserError: a stream or a camera, a video that cannot be read, a missing package.
    """
    found = [_videos(path, out) for path in target]
    if not any(found):
        return tuple(target)
    paths: list[str] = []
    if rank() == 0:
        from dmaskrcnn.images.frames_of_video import frames_of_video

        for path, videos in zip(target, found, strict=True):
            if not videos or holds_pictures(path):
                paths.append(str(path))
            paths += [str(frames_of_video(video, out / "frames", every)) for video in videos]
    return tuple(map(Path, json.loads(broadcast_path(json.dumps(paths)))))


def _videos(path: Path, out: Path) -> list[VideoSource]:
    # a path of an address has lost one of its slashes
    text = re.sub(r"^([a-z]{3,5}):/(?=[^/])", r"\1://", str(path), flags=re.IGNORECASE)
    found = videos_at(text, out)
    if found and found[0].kind != "file":
        raise UserError(
            f"--target {found[0]}: a training goes over its pictures many times; record a video "
            "first, and name its file"
        )
    return found

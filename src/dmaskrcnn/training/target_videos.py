"""Videos among the target of a training: frames of them in folders take their place, so that all
that follows knows pictures alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data.image import list_images, set_max_pixels
from dmaskrcnn.distributed import broadcast_path, rank
from dmaskrcnn.errors import UserError
from dmaskrcnn.images.video_inputs import VideoSource, list_videos, video_source


def with_frames(config: TrainConfig) -> TrainConfig:
    """The configuration with a folder of frames in ``OUT/frames`` for every video of the target:
    one named itself, or in a folder that holds no picture. Under torchrun every process calls this.

    Raises:
        UserError: a stream or a camera, a video that cannot be read, a missing package.
    """
    if not (config.adapts or config.adabn):
        return config
    found = [_videos(path) for path in config.target]
    if not any(found):
        return config
    paths: list[str] = []
    if rank() == 0:
        from dmaskrcnn.images.frames_of_video import frames_of_video

        set_max_pixels(config.max_pixels)
        out, every = config.out / "frames", config.target_every
        for path, videos in zip(config.target, found, strict=True):
            paths += [str(frames_of_video(video, out, every)) for video in videos] or [str(path)]
    paths = json.loads(broadcast_path(json.dumps(paths)))
    return replace(config, target=tuple(map(Path, paths)))


def _videos(path: Path) -> list[VideoSource]:
    # a path of an address has lost one of its slashes
    text = re.sub(r"^([a-z]{3,5}):/(?=[^/])", r"\1://", str(path), flags=re.IGNORECASE)
    source = video_source(text)
    if source is not None and source.kind != "file":
        raise UserError(
            f"--target {source}: a training goes over its pictures many times; record a video "
            "first, and name its file"
        )
    if source is not None:
        return [source]
    if not path.is_dir() or list_images(path):
        return []
    videos = list_videos(path)
    return [VideoSource(str(v), "file", Path(v.name).with_suffix("")) for v in videos]

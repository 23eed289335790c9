"""What `dmaskrcnn dehaze` hands its flags to."""

from __future__ import annotations

from dmaskrcnn.cli.clustering import dehaze_on_cluster
from dmaskrcnn.cli.verbs import Dehaze
from dmaskrcnn.errors import UserError


def dehaze_verb(verb: Dehaze) -> None:
    """Dehaze pictures and videos."""
    verb.check_cluster()
    if verb.cluster:
        return dehaze_on_cluster(verb)

    from dmaskrcnn.dehazing import Dehazer
    from dmaskrcnn.device import resolve_device
    from dmaskrcnn.images.dehaze import dehaze_images
    from dmaskrcnn.images.open_video import need_av
    from dmaskrcnn.images.video_inputs import sort_inputs

    pictures, videos = sort_inputs(verb.images, verb.out)
    if videos:
        need_av()
    if videos and verb.maps:
        raise UserError("--maps draws what was found in pictures: leave it out for videos")
    dehazer = Dehazer(verb.method, verb.weights, resolve_device(verb.device), verb.ignore_rows)
    if pictures or not videos:
        print(dehaze_images(dehazer, pictures, verb.out, verb.maps))
    if videos:
        from dmaskrcnn.images.dehaze_videos import dehaze_videos

        print(dehaze_videos(dehazer, videos, verb.out))

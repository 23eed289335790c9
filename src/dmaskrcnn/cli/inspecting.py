"""What `dmaskrcnn inspect` and `dmaskrcnn convert` hand their flags to."""

from __future__ import annotations

from dmaskrcnn.cli.label_verbs import Convert, Inspect
from dmaskrcnn.errors import UserError


def inspect_verb(verb: Inspect) -> bool:
    """Say what data sets hold; whether anything is wrong that a training would stop at."""
    if not verb.paths:
        raise UserError(
            "inspect: give at least one path: a file or folder of labels (COCO, YOLO, Pascal VOC, "
            "CVAT, labelme), a folder of images, or a video"
        )
    wrong = False
    for number, path in enumerate(verb.paths):
        said, problems = _inspect(path, verb)
        print("\n" * bool(number) + said)
        wrong |= problems
    return wrong


def _inspect(path: str, verb: Inspect) -> tuple[str, bool]:
    """What there is to say of one path: a data set, a video, or a folder with both; whether its
    labels have problems."""
    from dmaskrcnn.data.inspection import inspect
    from dmaskrcnn.images.video_inputs import holds_pictures, video_source, videos_at

    if (source := video_source(path)) is not None:
        from dmaskrcnn.images.inspect_video import inspect_video

        return inspect_video(source), False
    videos, said, problems = videos_at(path), [], False
    try:
        found = inspect(path, verb.orientation)
        said.append(found.format_text(show_all=verb.all))
        problems = found.labelled and bool(found.problems)
    except UserError:
        if not videos or holds_pictures(path):
            raise
    if videos:
        from dmaskrcnn.images.inspect_video import inspect_videos

        said.append(inspect_videos(path, videos))
    return "\n\n".join(said), problems


def convert_verb(verb: Convert) -> None:
    """Write labelled data in another format."""
    from dmaskrcnn.images.convert import convert_dataset

    if not verb.inputs:
        raise UserError("convert: give at least one path: a file or folder of labels")
    summary = convert_dataset(
        verb.inputs,
        verb.to,
        verb.out,
        link=verb.link,
        drop_invalid=verb.drop_invalid,
        orientation=verb.orientation,
    )
    print(summary)

"""What `dmaskrcnn inspect` and `dmaskrcnn convert` hand their flags to."""

from __future__ import annotations

from dmaskrcnn.cli.label_verbs import Convert, Inspect
from dmaskrcnn.errors import UserError


def inspect_verb(verb: Inspect) -> None:
    """Say what data sets hold."""
    from dmaskrcnn.data.inspection import inspect

    if not verb.paths:
        raise UserError(
            "inspect: give at least one path: a file or folder of labels (COCO, YOLO, Pascal VOC, "
            "CVAT, labelme) or a folder of images"
        )
    for number, path in enumerate(verb.paths):
        found = inspect(path, verb.orientation)
        print("\n" * bool(number) + found.format_text(show_all=verb.all))


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

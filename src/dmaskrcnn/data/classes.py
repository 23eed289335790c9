"""Class names are the identity of a class across data sets: one spelling each, and the choice of
classes by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dmaskrcnn.errors import UserError

# Pascal VOC and RTTS names → COCO names, and spellings met in road data sets. Only true synonyms:
# `pedestrian` is *not* `person`, because data sets that have it (KITTI, BDD100K) count riders and
# seated people apart from pedestrians.
ALIASES = {
    "motorbike": "motorcycle",
    "motor bike": "motorcycle",
    "aeroplane": "airplane",
    "tvmonitor": "tv",
    "tv monitor": "tv",
    "diningtable": "dining table",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "bike": "bicycle",
    "people": "person",
    "trafficlight": "traffic light",
    "stopsign": "stop sign",
}

# COCO's 80 classes by their ids, from 1; ids that it never used are empty
_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,"
    "backpack,umbrella,,,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,"
    "baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,"
    "cake,chair,couch,potted plant,bed,,dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,,book,clock,vase,scissors,teddy bear,"
    "hair drier,toothbrush"
)


def canonical(name: str) -> str:
    """The one spelling of a class name: lower case, single spaces (``_`` counts as a space),
    aliases resolved.

    >>> canonical("Motorbike"), canonical("traffic_light")
    ('motorcycle', 'traffic light')
    """
    plain = " ".join(name.replace("_", " ").lower().split())
    return ALIASES.get(plain, plain)


def coco_names() -> dict[int | str, str]:
    """COCO's ids of classes, 1 to 90 with gaps, and their names."""
    return {number: name for number, name in enumerate(_COCO.split(","), 1) if name}


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Canonical names in order of first appearance."""
    return tuple(dict.fromkeys(canonical(name) for name in names))


def choose_classes(present: Iterable[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of a data set: all that are present, or the wanted ones in the wanted order.

    Raises:
        UserError: a wanted class is not present, or none is wanted.
    """
    available = unique(present)
    if wanted is None:
        return available
    chosen = unique(wanted)
    if not chosen:
        raise UserError(f"--classes is empty; choose from: {', '.join(available)}")
    missing = [name for name in chosen if name not in available]
    if missing:
        raise UserError(
            f"--classes: no {', '.join(missing)} in the data; there is: "
            f"{', '.join(available) or 'no class at all'}"
        )
    return chosen

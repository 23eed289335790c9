"""The paper's experiment in numbers (arXiv 1807.00202): its models, its table, and what must be
said beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from dmaskrcnn.config.train import TrainConfig

ITERATIONS = 75_000  # the paper's: 5 k of the domain classifier, 50 k and 20 k of all layers
MODELS = {"mask-rcnn": "Mask R-CNN", "dmask1": "DMask1", "dmask2": "DMask2"}
# The paper's table in its order: model, dehazing of the test images, authors' metric on RTTS.
TABLE = (
    ("mask-rcnn", "none", 0.6101),
    ("dmask1", "none", 0.6121),
    ("dmask2", "none", 0.6172),
    ("dmask1", "aod-net", 0.6021),
    ("dmask2", "aod-net", 0.6047),
    ("mask-rcnn", "mscnn", 0.6272),
    ("dmask1", "mscnn", 0.6271),
    ("dmask2", "mscnn", 0.6336),
)


def notes_on(config: TrainConfig, budget: float, seeds: Sequence[int]) -> tuple[str, ...]:
    """What belongs below the table; ``config``: of the first training."""
    detector = config.detector
    network = (
        f"{detector.backbone} FPN, {detector.fpn_channels} channels, short side "
        f"{detector.image_size} px"
    )
    start = f"all start from {config.weights}"
    if not config.starts_trained:
        start = (
            "all three start from a detector trained as long on the source, one per seed, from "
            f"{config.weights}; the original's start was trained on COCO"
        )
    return (
        "paper, RTTS: the published numbers (arXiv 1807.00202), authors' metric, one run each. "
        "Other test images and another "
        "training than here: compare order and gains, not levels.",
        f"Iterations here: {config.iterations:,} of {config.batch} source images in each of the "
        f"three trainings, {budget:.3g} "
        f"times the paper's {ITERATIONS:,}; seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}; {start}.",
        f"Preset {config.preset}: {network}"
        + (
            ", the paper's."
            if config.preset == "paper"
            else "; the paper's network is larger: ResNet-101 FPN, 256, 800 px."
        ),
    )

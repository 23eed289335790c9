"""Every flag that an error names exists for the verbs that may raise it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

import dmaskrcnn
from dmaskrcnn.cli.arguments import _flags
from dmaskrcnn.cli.training import _flags as training_flags
from dmaskrcnn.cli.training import _groups, parse_training
from dmaskrcnn.cli.training_verbs import Adapt, Resume
from dmaskrcnn.cli.verbs import Verbs
from dmaskrcnn.config.methods import find_methods
from dmaskrcnn.config.train import TrainConfig

SOURCE = Path(dmaskrcnn.__file__).parent
TRAIN = ("train", "adapt")  # `reproduce` adds to what its trainings say whose options these are
SCORE = ("evaluate", "compare")
# Which verbs get to say what stands in a file or folder: the longest name that fits.
REACHED = {
    "cli/cluster_flags.py": ("predict", "dehaze", "haze"),
    "cli/clustering.py": ("predict",),
    "cli/comparing.py": ("compare",),
    "cli/dehazing.py": ("dehaze",),
    "cli/exporting.py": ("export",),
    "cli/flags.py": ("predict", "evaluate", "compare", "report", "serve", "app", "export"),
    "cli/main.py": ("train-dehazer",),
    "cli/predicting.py": ("predict",),
    "cli/runtime.py": ("predict",),
    "cli/serving.py": ("serve",),
    "cli/training.py": TRAIN,
    "cluster/": ("predict", "dehaze", "haze"),
    "cluster/job.py": ("predict", "dehaze"),  # haze needs no --device
    "compare/": ("compare",),
    "compare/reproduce.py": ("reproduce",),
    "compare/paper.py": ("reproduce",),
    "config/": TRAIN,
    "data/": (*TRAIN, "haze", "reproduce", "convert"),  # others open with drop_invalid=None
    "data/classes.py": (*TRAIN, *SCORE),  # whoever chooses classes
    "data/coco_images.py": (*TRAIN, *SCORE, "haze", "reproduce", "report", "inspect", "convert"),
    "data/frames.py": (*TRAIN, *SCORE, "reproduce", "report"),
    "dehazing/": ("dehaze", "train-dehazer"),
    "dehazing/dehazer.py": ("dehaze",),
    "dehazing/train_dehazer.py": ("train-dehazer",),
    "demo/": ("demo",),
    "detector/": (*TRAIN, "reproduce"),
    "detector/config.py": TRAIN,
    "detector/tiles.py": ("predict",),
    "device.py": (*TRAIN, *SCORE, "predict", "dehaze", "train-dehazer", "reproduce", "report"),
    "evaluation/": SCORE,
    "evaluation/evaluate.py": ("evaluate",),
    "export/": ("export",),
    "haze/": ("haze",),
    "haze/switch.py": ("predict", "serve"),
    "images/": ("predict", "dehaze", "haze"),
    "images/dehaze.py": ("dehaze",),
    "images/convert.py": ("convert",),
    "images/haze.py": ("haze",),
    "images/open_video.py": ("predict", "dehaze", "inspect", "gauge", "app", *TRAIN),
    "images/frames_of_video.py": TRAIN,
    "images/predict_videos.py": ("predict",),
    "images/track.py": ("predict",),
    "images/video.py": ("predict",),
    "images/video_files.py": ("predict",),
    "images/video_options.py": ("predict",),
    "images/video_out.py": ("predict",),
    "images/video_seek.py": ("predict",),
    "images/window.py": ("predict",),
    "methods/": TRAIN,
    "output_folder.py": (*TRAIN, "predict", "dehaze", "haze", "convert", "compare", "reproduce"),
    "report/": ("report",),
    "run.py": TRAIN,
    "serve/": ("serve",),
    "serve/server.py": ("serve", "app"),
    "training/": TRAIN,
    "training/target_videos.py": (*TRAIN, "report", "reproduce"),
}
SAYS = ("UserError", "refuse", "without")  # what takes the text of a message
# of torchrun, pip and Ray, too
EVERYWHERE = {"--help", "--nproc-per-node", "--max-restarts", "--force-reinstall", "--head"}


def flags_of_verbs() -> dict[str, set[str]]:
    verbs: dict[str, Any] = {v.__metadata__[0].name: v.__origin__ for v in get_args(Verbs)}
    training = set(_flags(training_flags(_groups(find_methods()))))
    flags = {verb: set(_flags(kind)) for verb, kind in verbs.items()}
    return flags | dict.fromkeys(TRAIN, training)


def messages(file: Path) -> list[str]:
    """The texts of the errors that are meant for a person, and of the warnings."""
    said = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SAYS:
            said += [text for argument in node.args for text in texts(argument)]
    return said


def texts(node: ast.AST) -> list[str]:
    return [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def test_of_every_message():
    existing, wrong, seen = flags_of_verbs(), [], 0
    for file in sorted(SOURCE.rglob("*.py")):
        name = file.relative_to(SOURCE).as_posix()
        prefix = max((p for p in REACHED if name.startswith(p)), key=len, default="")
        for message in messages(file):
            for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z\d-]*[a-z\d]", message)) - EVERYWHERE:
                seen += 1
                verbs = REACHED.get(prefix, ("none: add the file to the table",))
                wrong += [
                    f"{name}: {flag} for {verb}"
                    for verb in verbs
                    if flag not in existing.get(verb, set())
                ]
    assert wrong == []
    assert seen > 50


def test_adapt_takes_the_flags_of_train(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("seed: 5")
    words = (
        "--source a --target b --drop-invalid --classes car --batch 2 --accumulate 2 --name fog "
        f"--image-size 64 --burn-in 0.3 --device cpu --config {file}"
    )
    config = parse_training(Adapt, words.split())
    assert isinstance(config, TrainConfig)
    assert (config.name, config.batch, config.seed, config.method) == ("fog", 2, 5, "teacher")
    assert parse_training(Adapt, ["--resume", "runs/adapt-1"]) == Resume(Path("runs/adapt-1"))

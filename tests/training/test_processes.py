import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from run_files import weights

from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.loop import train

Make = Callable[..., TrainConfig]


def test_two_processes_give_the_result_of_one(tiny: Make, tmp_path: Path):
    """Real torchrun, the same global batch, pictures of different shapes, one of them broken.

    One step of the classifier and one of everything: the momenta of SGD are then the gradients
    themselves, and compared, too. More steps would compare luck: a rounding error flips a near tie
    among proposals, and other RoIs are sampled from there on.
    """
    wide = write_scenes(
        tmp_path / "wide", 4, seed=9, size=(64, 120), visibility=(40, 80), labelled=False
    )
    cut = sorted((wide / "images").iterdir())[1]  # the other process's
    cut.write_bytes(cut.read_bytes()[:400])
    options = {
        "iterations": 2,
        "batch": 4,
        "target_batch": 2,
        "optimizer": "sgd",
        "warmup": 0,
        "lr": 1e-2,
        "weights": None,
        "preset": "demo",
    }
    base = train(tiny(method="source", iterations=2, name="base"))
    shared = {**options, "weights": str(base), "target": (wide,)}
    one = train(tiny(name="one", **shared))
    config = tiny(name="two", **shared)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
        "--standalone",
    ]
    command = [*torchrun, "-m", "dmaskrcnn", "train", "--config", str(tmp_path / "config.yaml")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [p.name for p in config.out.iterdir()].count("two-1") == 1  # one writer
    assert not (config.out / "two-2").exists()
    assert done.stdout.strip().endswith("two-1")
    assert done.stderr.count(f"stands in for a broken one: {cut}: cannot read the picture") == 1
    for run in (one, config.out / "two-1"):  # whichever process met it
        assert list(Checkpoint.load(run).data["broken"]["target"]) == [1]
    first, second = weights(one), weights(config.out / "two-1")
    errors = {
        k: float((v - second[k]).abs().max() / v.abs().max().clamp(min=1e-6))
        for k, v in first.items()
        if v.is_floating_point()
    }
    assert max(errors.values()) < 1e-4, sorted(errors.items(), key=lambda e: -e[1])[:5]
    moved = weights(base)
    key = "detector.backbone.fpn.layer_blocks.0.0.weight"
    # the tolerance means something
    assert (first[key] - moved[f"ema.{key.removeprefix('detector.')}"]).abs().max() > 1e-4

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from run_files import assert_same_bits, rows, weights

from dmaskrcnn.cli.main import main
from dmaskrcnn.config.schedule import Schedule
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.grl import GRL
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.inputs import open_data
from dmaskrcnn.training.loop import train
from dmaskrcnn.training.state import TrainingState

Make = Callable[..., TrainConfig]


def schedule_of(config: TrainConfig) -> Schedule:
    return Schedule(config.phases, config.iterations, config.minutes, config.warmup)


class TestSchedule:
    def test_papers_phases(self):
        schedule = schedule_of(TrainConfig.from_preset("paper", method="grl", target="hazy"))

        def at(iteration: int) -> tuple[str, float]:
            phase = schedule.phase(schedule.progress(iteration, 0))
            return phase.trains, schedule.rate(phase, detector_steps=10_000) * 1e-3

        assert at(0) == at(4_999) == ("classifier", 1e-3)
        assert at(5_000) == at(54_999) == ("all", 1e-3)
        assert at(55_000) == at(74_999) == ("all", pytest.approx(1e-4))
        assert schedule.progress(75_000, 0) == 1

    @pytest.mark.parametrize(("iterations", "steps"), [(300, 100), (800, 200), (6000, 400)])
    def test_the_classifier_has_time_to_learn(self, iterations: int, steps: int):
        """200 steps where a fifteenth of the schedule is less, but no more than a third of it."""
        schedule = schedule_of(
            TrainConfig.from_preset(method="grl", iterations=iterations, target="hazy")
        )
        progress = [schedule.progress(i, 0) for i in (steps - 1, steps)]
        assert [schedule.phase(p).trains for p in progress] == ["classifier", "all"]
        assert sum(phase.share for phase in schedule.phases) == pytest.approx(1)
        assert schedule.phases[1].share / schedule.phases[2].share == pytest.approx(50 / 20)

    def test_minutes_follow_the_clock(self):
        schedule = schedule_of(TrainConfig.from_preset(method="source", minutes=10))
        assert schedule.progress(iteration=10**6, seconds=300) == 0.5
        assert schedule.progress(iteration=0, seconds=601) == 1

    def test_warmup_rises_to_the_rate(self):
        schedule = schedule_of(TrainConfig.from_preset(method="source", warmup=10))
        rates = [schedule.rate(schedule.phases[0], s) for s in range(12)]
        assert rates[0] == pytest.approx(0.1)
        assert rates[9] == rates[11] == 1.0


class TestRun:
    def test_leaves_a_complete_folder(self, tiny: Make):
        run = train(tiny(iterations=20, tensorboard=True))
        assert run.name == "grl-1"
        assert {p.name for p in run.iterdir()} >= {
            "config.yaml",
            "metrics.csv",
            "model.json",
            "model.safetensors",
            "last.pt",
            "curves.png",
        }
        assert list((run / "tensorboard").iterdir())
        (row,) = rows(run)
        assert row["iteration"] == "20"
        assert 0 < float(row["alignment/domain"]) < 5
        again = TrainConfig.from_dict(yaml.safe_load((run / "config.yaml").read_text()))
        assert again == tiny(iterations=20, tensorboard=True)

    def test_learns(self, tiny: Make):
        run = train(tiny(method="source", iterations=40, batch=4, fpn_channels=32))
        losses = [float(r["loss"]) for r in rows(run)]
        assert losses[-1] < 0.8 * losses[0]

    def test_same_seed_same_bits_whatever_the_workers(self, tiny: Make):
        first, second = train(tiny(seed=3)), train(tiny(seed=3, workers=1))
        assert_same_bits(first, second)
        third = train(tiny(seed=4))
        assert not torch.equal(
            weights(first)["detector.backbone.fpn.inner_blocks.0.0.weight"],
            weights(third)["detector.backbone.fpn.inner_blocks.0.0.weight"],
        )

    def test_phases_train_what_they_say(self, tiny: Make):
        """Of fifteen iterations five train the classifier alone, seven everything, three everything
        at a tenth of the rate."""
        first, whole = (Checkpoint.load(train(tiny(iterations=n))) for n in (1, 15))
        start = {k: v for k, v in first.ema.items() if "running" not in k and "batches" not in k}
        assert all(torch.equal(v, first.model[f"detector.{k}"]) for k, v in start.items())
        moved = {
            k.split(".")[0] for k, v in whole.model.items() if not torch.equal(v, first.model[k])
        }
        assert moved == {"detector", "classifier"}
        assert (first.detector_steps, whole.detector_steps) == (0, 10)
        assert [g["lr"] / g["base_lr"] for g in whole.optimizer["param_groups"]] == pytest.approx(
            [0.1] * 4
        )

    def test_accumulation_and_ratio(self, tiny: Make):
        run = train(tiny(batch=4, target_batch=2, accumulate=2, iterations=2))
        assert Checkpoint.load(run).iteration == 2

    def test_minutes_end_on_time(self, tiny: Make):
        began = time.monotonic()
        run = train(tiny(iterations=0, minutes=0.08))
        assert Checkpoint.load(run).seconds >= 4.8
        assert time.monotonic() - began < 60

    def test_the_average_has_the_decay_that_was_asked_for(self, tiny: Make):
        """From a trained detector on, from the first step; with random heads it rises to it."""
        start = train(tiny(method="source"))
        for weights_, differ in ((str(start), True), ("scratch", False)):
            averages = [
                Checkpoint.load(
                    train(tiny(method="source", weights=weights_, ema=ema, iterations=3))
                ).ema["rpn.head.cls_logits.weight"]
                for ema in (0.9, 0.999)
            ]
            assert torch.equal(*averages) != differ

    def test_by_the_clock_the_average_slows_down_with_the_steps(self, tiny: Make):
        """Minutes do not tell how many there will be: a long training must not end with the
        average of its last 50."""
        start = str(train(tiny(method="source")))
        config = tiny(method="source", weights=start, iterations=0, minutes=1, ema=0.998)
        state = TrainingState(config, *open_data(config), torch.device("cpu"))
        decays = []
        for state.detector_steps in (0, 440, 890, 10_000):
            decays.append(state.decay(config.phases[0]))
        assert decays == pytest.approx([0.98, 0.98, 0.99, 0.998])

    def test_starts_from_another_run(self, tiny: Make):
        first = train(tiny(method="source"))
        second = train(tiny(weights=str(first), grl_lambda=0.0, iterations=1, lr=1e-12))
        old, new = (weights(r) for r in (first, second))
        key = "detector.roi_heads.box_head.fc6.weight"
        torch.testing.assert_close(new[key], old[f"ema.{key.removeprefix('detector.')}"])


def test_target_annotations_change_no_bit(tiny: Make, tmp_path: Path):
    """The same hazy images with annotations, with other annotations, and with none."""
    runs = []
    for kind in ("with", "changed", "without"):
        folder = write_scenes(
            tmp_path / kind / "hazy", 5, seed=7, size=(64, 96), visibility=(40, 80)
        )
        if kind == "changed":
            (folder / "annotations.json").write_text('{"images": [], "annotations": "leak"}')
        elif kind == "without":
            (folder / "annotations.json").unlink()
        runs.append(train(tiny(target=(folder,), iterations=4)))
    assert_same_bits(runs[0], runs[1])
    assert_same_bits(runs[0], runs[2])


def test_one_command_trains_scores_and_draws(
    clear: Path, hazy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = (
        "--preset demo --iterations 2 --batch 2 --image-size 64 --max-size 96 "
        "--fpn-channels 16 --workers 0 --device cpu"
    )
    paths = [
        "--source",
        str(clear),
        "--target",
        str(hazy),
        "--test",
        str(clear),
        "--out",
        str(tmp_path),
    ]
    main(["train", *options.split(), *paths])
    out = capsys.readouterr().out
    run = Path(out.strip().splitlines()[-1])
    assert run == tmp_path / "teacher-1"  # what the evidence favours
    assert "95 % interval" in out
    assert "VOC AP50" in out
    assert list(run.glob("evaluate-*/scores.json"))
    assert (run / "pictures.jpg").exists()


class TestDivergence:
    def test_guard_stops_in_time_and_keeps_the_checkpoint(self, tiny: Make):
        """Without the gate and with a large lambda the original's classifier diverges: provoked
        here on purpose."""
        config = tiny(
            iterations=300,
            classifier="paper",
            classifier_lr=1e-3,
            grl_reverse="always",
            grl_lambda=1e4,
            lr=3e-3,
            checkpoint_minutes=0.05,
        )
        with pytest.raises(UserError, match=r"diverges .*--grl-lambda"):
            train(config)
        state = Checkpoint.load(config.out / "grl-1")
        assert all(torch.isfinite(v).all() for v in state.ema.values() if v.is_floating_point())

    def test_gate_prevents_it(self, tiny: Make):
        run = train(tiny(iterations=40, grl_lambda=100.0, lr=3e-3))
        assert float(rows(run)[-1]["alignment/domain"]) < 2

    def test_non_finite_loss_names_the_images(self, tiny: Make, monkeypatch: pytest.MonkeyPatch):
        usual = GRL.losses

        def poisoned(self: GRL, batch, progress):
            losses = usual(self, batch, progress)
            losses.alignment["domain"] *= float("nan")
            return losses

        monkeypatch.setattr(GRL, "losses", poisoned)
        with pytest.raises(
            UserError, match=r"alignment/domain.* not finite; images of this batch: .*\.png, .*g"
        ):
            train(tiny())


def test_same_images_in_source_and_target_warn(
    clear: Path, tiny: Make, capsys: pytest.CaptureFixture[str]
):
    train(tiny(target=(clear,), iterations=1))
    assert "warning: --source and --target share images" in capsys.readouterr().err


def test_ln2_is_explained_once(tiny: Make, capsys: pytest.CaptureFixture[str]):
    train(tiny(iterations=2))
    assert capsys.readouterr().err.count("ln 2") == 1
    train(tiny(method="source", iterations=2))
    assert "ln 2" not in capsys.readouterr().err

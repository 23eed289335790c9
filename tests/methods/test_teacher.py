import json
from pathlib import Path

import pytest
import torch
from run_files import rows

from dmaskrcnn.data import Augmentation, Batch, Sample
from dmaskrcnn.data.augment import hide_blocks
from dmaskrcnn.dehazing import Dehazer, dehaze
from dmaskrcnn.errors import UserError
from dmaskrcnn.methods.parts.guard import SETTLED
from dmaskrcnn.methods.teacher import Teacher, TeacherSettings
from dmaskrcnn.training.checkpoint import Checkpoint
from dmaskrcnn.training.loop import train
from dmaskrcnn.training.state import TrainingState


@pytest.fixture
def teaching(tiny, hazy):
    """A tiny configuration of `teacher`."""
    return lambda **overrides: tiny(method="teacher", target=(hazy,), **overrides)


@pytest.mark.parametrize("boxes", [False, True])
def test_burn_in_then_teaching(teaching, boxes):
    run = train(teaching(iterations=40, distil_boxes=boxes))
    first, second = rows(run)
    assert first["phase"] == "burn-in"
    assert not first.get("pseudo_labels")
    assert {k for k in second if k.startswith("target/") and second[k]} == {
        f"target/{name}"
        for name in (
            "objectness",
            "classifier",
            "mask",
            *(("rpn_box_reg", "box_reg") if boxes else ()),
        )
    }
    assert second["pseudo_labels"] != ""
    assert json.loads((run / "model.json").read_text())["weights"] == "ema"


def test_student_goes_on_from_the_average_after_the_burn_in(teaching, monkeypatch):
    compared = []
    restart = TrainingState._restart

    def watch(state: TrainingState) -> None:
        restart(state)
        pairs = zip(state.detector.parameters(), state.ema.parameters(), strict=True)
        compared.append(all(torch.equal(a, b) for a, b in pairs))

    monkeypatch.setattr(TrainingState, "_restart", watch)
    run = train(teaching(iterations=10))
    assert compared[0]
    assert Checkpoint.load(run).restarted


def test_phases_share_the_schedule():
    assert sum(p.share for p in TeacherSettings(burn_in=0.3).phases) == pytest.approx(1)
    assert [p.name for p in TeacherSettings(burn_in=0.3).phases] == ["burn-in", "adapt", "fine"]
    assert [p.target for p in TeacherSettings(burn_in=0.3).phases] == [False, True, True]
    assert [p.name for p in TeacherSettings(burn_in=0.0).phases] == ["adapt", "fine"]
    assert not any(p.from_average for p in TeacherSettings(burn_in=0.0).phases)


def test_burn_in_follows_from_the_start(teaching, tmp_path):
    def burn_in(**overrides):
        return teaching(**overrides).settings.burn_in

    run = str(tmp_path)  # a trained detector
    assert burn_in() == 0.5
    assert burn_in(weights=run) == 0
    assert burn_in(weights=run, haze_augment=0.5) == 0.25  # haze is new to it
    assert burn_in(weights=run, burn_in=0.2) == 0.2


def test_the_teacher_has_a_decay_of_its_own(teaching, tiny):
    start = str(train(tiny(method="source", iterations=2)))
    averages = [
        Checkpoint.load(train(teaching(weights=start, iterations=3, teacher_ema=decay))).ema
        for decay in (0.9, 0.98)
    ]
    assert not torch.equal(*(average["rpn.head.cls_logits.weight"] for average in averages))


def test_decays_follow_from_start_and_length(teaching, tmp_path):
    def decays(**overrides):
        config = teaching(**{"iterations": 290, "preset": "cpu"} | overrides)
        return config.ema, config.settings.teacher_ema

    run = str(tmp_path)  # a trained detector: what a rising decay ends with
    assert decays() == (0.998, 0.998)
    assert decays(weights=run) == (0.97, 0.97)
    assert decays(weights=run, iterations=20_000) == (0.998, 0.998)
    assert decays(weights=run, iterations=0, minutes=5) == (0.998, 0.998)  # rising to it
    assert decays(weights=run, ema=0.99) == (0.99, 0.99)
    assert decays(weights=run, teacher_ema=0.99) == (0.97, 0.99)


@pytest.mark.parametrize(("taught", "warned"), [((3.0, 0.0, 6.9), 0), ((3.0, 7.5, 90.0), 1)])
def test_warns_once_when_the_teacher_outweighs_the_labels_of_a_file(teaching, taught, warned):
    method = watched(teaching, pseudo_labels="other.json")
    values = [{"pseudo_labels": n, "sure_labels": 3.0} for n in taught for _ in range(600)]
    spoken = [line for line in map(method.watch, values) if line]
    assert len(spoken) == warned
    assert all("of which its labels are sure of 3.0" in line for line in spoken)
    again = watched(teaching, pseudo_labels="other.json")
    again.load_state(method.state())
    assert again.state() == method.state()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"teacher_ema": 0.0}, "--teacher-ema 0 leaves --method teacher without a teacher"),
        ({"ema": 0.0}, "--ema 0 leaves --method teacher without a teacher"),
        ({"burn_in": 1.0}, "--burn-in must be in"),
        ({"pseudo_threshold": 0.0}, "--pseudo-threshold must be in"),
        (
            {"method": "source", "target": (), "burn_in": 0.5},
            "--burn-in has no use with --method source",
        ),
        ({"method": "grl", "align": True}, "--align has no use with --method grl"),
        (
            {"method": "oracle", "distil_boxes": True},
            "--distil-boxes has no use with --method oracle",
        ),
        (
            {"method": "grl", "teacher_dehaze": "mscnn"},
            "--teacher-dehaze has no use with --method grl",
        ),
        ({"target": ()}, "--method teacher needs --target"),
    ],
)
def test_options_that_do_not_fit_are_told(tiny, hazy, overrides, message):
    with pytest.raises(UserError, match=message):
        tiny(**({"method": "teacher", "target": (hazy,)} | overrides))


def test_teacher_is_neither_trained_nor_part_of_the_method(teaching):
    run = train(teaching(iterations=3, burn_in=0.0))
    assert not any(k.startswith("teacher") for k in Checkpoint.load(run).model)


def test_aligns_too(teaching):
    run = train(teaching(iterations=20, burn_in=0.0, align=True, grl_on="both"))
    (row,) = rows(run)
    for name in ("alignment/domain", "alignment/instance", "alignment/consistency", "target/mask"):
        assert float(row[name]) >= 0
    assert 0 <= float(row["instance_accuracy"]) <= 1


def weak_and_strong(image: torch.Tensor, dehazer: Dehazer | None = None) -> Sample:
    sample = Sample(image, Path("x.png"), 1)
    return Augmentation(64, 96, strong=True, weak=True, dehaze=dehazer, hide=0.5)(sample, seed=3)


def test_teacher_sees_the_picture_the_student_a_harder_one():
    image = torch.randint(
        0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    sample = weak_and_strong(image)
    assert sample.weak is not None
    assert sample.weak.shape == sample.image.shape
    assert torch.equal(sample.weak, image) or torch.equal(sample.weak, image.flip(-1))
    assert not torch.equal(sample.image, sample.weak)


@pytest.mark.parametrize("method", ["dark-channel", "aod-net"])
def test_dehazing_is_for_the_teacher_alone(method: str):
    image = torch.randint(
        90, 200, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    plain, dehazed = weak_and_strong(image), weak_and_strong(image, Dehazer(method))
    assert plain.weak is not None
    assert dehazed.weak is not None
    assert torch.equal(dehazed.image, plain.image)
    assert torch.equal(dehazed.weak, dehaze(plain.weak, method))
    assert not torch.equal(dehazed.weak, plain.weak)


def test_a_run_with_a_dehazing_teacher_does_not_hang_on_the_workers(teaching):
    runs = [
        train(teaching(iterations=3, burn_in=0.0, teacher_dehaze="dark-channel", workers=n))
        for n in (0, 1)
    ]
    one, two = (Checkpoint.load(run).model for run in runs)
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_hidden_blocks():
    image = torch.full((3, 100, 200), 200, dtype=torch.uint8)
    hidden = hide_blocks(image, 0.5, torch.Generator().manual_seed(1))
    blocks = hidden[0, ::32, ::32] != 200
    assert 0.2 < blocks.float().mean() < 0.8
    assert (hidden[0, :32, :32] == hidden[0, 0, 0]).all()
    assert (image == 200).all()
    assert torch.equal(hide_blocks(image, 0.0, torch.Generator()), image)


def test_aligned_domains_differ_in_nothing_that_was_added(teaching):
    view = Augmentation(64, 96, strong=False)
    plain, aligned = (teaching(align=align).settings.target_view(view) for align in (False, True))
    assert (plain.strong, plain.hide > 0, plain.weak) == (True, True, True)
    assert (aligned.strong, aligned.hide, aligned.weak) == (False, 0.0, True)


def watched(teaching, **overrides) -> Teacher:
    from dmaskrcnn.detector.detector import Detector

    config = teaching(**overrides)
    method = config.settings.build(Detector(("car",), config.detector))
    assert isinstance(method, Teacher)
    return method


@pytest.mark.parametrize(
    ("later", "sign"), [(0.0, "almost nothing"), (60.0, "multiply"), (3.0, None)]
)
def test_warns_once_when_pseudo_labels_vanish_or_explode(teaching, later, sign):
    method = watched(teaching)
    said = [method.watch({"pseudo_labels": 3.0}) for _ in range(SETTLED)]
    said += [method.watch({"pseudo_labels": later}) for _ in range(600)]
    spoken = [line for line in said if line]
    assert len(spoken) == (sign is not None)
    if sign:
        assert sign in spoken[0]


def test_warning_reaches_the_user(teaching, monkeypatch, capfd):
    monkeypatch.setattr(Teacher, "watch", lambda self, values: "something to know")
    train(teaching(iterations=2))
    assert "warning: something to know" in capfd.readouterr().err


def test_thresholds_follow_the_teachers_confidence(teaching):
    thresholds = watched(teaching).thresholds

    def follow(*scores: float) -> None:
        thresholds.see(torch.zeros(len(scores), dtype=torch.int64), torch.tensor(scores))
        thresholds.follow()

    for _ in range(2000):
        follow(0.3, 0.5)
    assert thresholds.values.item() == pytest.approx(0.4, abs=1e-3)
    for _ in range(2000):
        follow(0.95)
    assert thresholds.values.item() == pytest.approx(0.8, abs=1e-3)
    before = thresholds.values.clone()
    follow()
    thresholds.follow()  # no batch at all, as in the burn-in
    assert torch.equal(thresholds.values, before)


def test_source_losses_do_not_depend_on_the_target(teaching):
    """With frozen statistics."""
    method = watched(lambda: teaching(preset="cpu", weights="imagenet"))
    method.teacher = method.detector
    from test_methods import DETECTION, sample

    method.detector.eval()
    source = [sample(1, True)]
    for s in source:
        s.objects.labels[:] = 0
    one, two = (method.losses(Batch(source, [sample(seed, False)]), 0.0) for seed in (3, 9))
    for name in DETECTION:
        torch.testing.assert_close(one.detection[name], two.detection[name], msg=name)
    assert not torch.equal(one.target["classifier"], two.target["classifier"])

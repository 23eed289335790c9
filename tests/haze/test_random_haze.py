"""Haze as an augmentation: the scattering model's marks, labels left alone, the same bits
everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dmaskrcnn.cli.main import main
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Annotations, Augmentation, Sample, open_dataset
from dmaskrcnn.demo import CLASSES, render_scene
from dmaskrcnn.errors import UserError
from dmaskrcnn.haze import random_haze
from dmaskrcnn.haze.filters import fast_guided_filter, guided_filter
from dmaskrcnn.haze.random_haze import AIRLIGHTS, HazeAugment
from dmaskrcnn.training.inputs import make_batches, open_data

HAZE = HazeAugment(1.0, CLASSES)


def street(
    seed: int, size: tuple[int, int] = (160, 224), masks: bool = True
) -> tuple[Sample, np.ndarray]:
    """A rendered scene and its depth."""
    scene = render_scene(seed, *size)
    n = len(scene.labels)
    no = torch.zeros(n, dtype=torch.bool)
    objects = Annotations(
        torch.from_numpy(scene.boxes),
        torch.from_numpy(scene.labels),
        torch.from_numpy(scene.masks if masks else np.zeros_like(scene.masks)),
        torch.full((n,), masks),
        no.clone(),
        no.clone(),
    )
    return Sample(
        torch.from_numpy(scene.image).permute(2, 0, 1), Path("x.png"), 1, objects
    ), scene.depth


def gain(hazy: torch.Tensor, clear: torch.Tensor, where: np.ndarray) -> float:
    """How much of the differences between neighbours is left there: least squares, which noise does
    not bend."""
    inside = torch.from_numpy(where[:, 1:] & where[:, :-1])
    after, before = ((image.float().mean(0)).diff()[inside] for image in (hazy, clear))
    return float((after * before).sum() / before.square().sum())


@pytest.mark.parametrize("masks", [True, False])
def test_far_things_lose_more_contrast_than_near_ones(masks: bool):
    ratios = []
    for seed in range(20):
        sample, depth = street(seed, masks=masks)
        hazy = HAZE(sample.image, sample.objects, np.random.default_rng(seed))
        near, far = (
            depth < np.quantile(depth, 0.2),
            (depth > np.quantile(depth, 0.6)) & (depth < 500),
        )
        ratios.append(gain(hazy, sample.image, far) / gain(hazy, sample.image, near))
    assert max(ratios) < 1.4  # one is so dense that of near and far things 5 % are left
    assert np.median(ratios) < 0.6


def test_the_sky_takes_the_colour_of_the_airlight():
    """Its brightness and tint come from one of the ranges, but for unevenness and noise."""
    white = torch.full((3, 120, 160), 255, dtype=torch.uint8)
    brightest = max(high for _, (_, high), _, _ in AIRLIGHTS)
    lowest = min(low for _, (low, _), _, _ in AIRLIGHTS)
    tints = []
    for seed in range(40):
        colour = HAZE(white, None, np.random.default_rng(seed))[:, :20].float().mean((1, 2)) / 255
        assert 0.7 * lowest < colour.mean() < min(1.3 * brightest, 1.001)
        tints.append(float(colour[0] - colour[2]))
    assert min(tints) < -0.05  # blue
    assert max(tints) > 0.05  # brown


def test_labels_stay_and_the_rest_of_the_augmentation_too():
    sample, _ = street(3)
    plain = Augmentation(96, 160, scale=(0.8, 1.2), strong=True)
    for seed in range(4):
        without, hazy = plain(sample, seed), replace(plain, haze=HAZE)(sample, seed)
        never = replace(plain, haze=HazeAugment(0.0, CLASSES))(sample, seed)
        assert torch.equal(without.image, never.image)
        assert not torch.equal(without.image, hazy.image)
        for f in fields(Annotations):
            assert torch.equal(getattr(without.objects, f.name), getattr(hazy.objects, f.name))


def test_haze_does_not_touch_its_input():
    sample, _ = street(4)
    before = sample.image.clone()
    HAZE(sample.image, sample.objects, np.random.default_rng(0))
    contiguous = sample.image.contiguous()
    HAZE(contiguous, sample.objects, np.random.default_rng(0))
    assert torch.equal(sample.image, before)
    assert torch.equal(contiguous, before)


def test_probability_is_that_share_of_the_pictures():
    sample, _ = street(5, (64, 96))
    changed = [
        not torch.equal(
            HazeAugment(0.3, CLASSES)(sample.image, sample.objects, np.random.default_rng(seed)),
            sample.image,
        )
        for seed in range(200)
    ]
    assert 0.2 < np.mean(changed) < 0.4


def test_the_same_bits_whatever_the_threads():
    sample, _ = street(6, (301, 402))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(
                [
                    HAZE(sample.image, sample.objects, np.random.default_rng(seed))
                    for seed in range(4)
                ]
            )
    finally:
        torch.set_num_threads(threads)
    for one, *others in zip(*results, strict=True):
        assert all(torch.equal(one, other) for other in others)


def test_smooth_fog_has_no_bands():
    """Neighbouring grey levels are mixed: no row of a flat picture is one value, no level ends
    along a line."""
    flat = torch.full((3, 200, 200), 180, dtype=torch.uint8)
    for seed in range(5):
        hazy = HAZE(flat, None, np.random.default_rng(seed))
        assert hazy.float().std(-1).min() > 0.3


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (2, 3), (5, 4), (7, 300)])
def test_the_smallest_pictures(size: tuple[int, int]):
    image = torch.full((3, *size), 90, dtype=torch.uint8)
    box = torch.tensor([[0.0, 0.0, size[1], size[0]]])
    flag = torch.ones(1, dtype=torch.bool)
    object_ = Annotations(
        box,
        torch.zeros(1, dtype=torch.int64),
        torch.ones(1, *size, dtype=torch.bool),
        flag,
        ~flag,
        ~flag,
    )
    for objects in (
        None,
        Annotations.empty(*size),
        object_,
        replace(object_, has_mask=~flag),
        replace(object_, crowd=flag),
    ):
        for seed in range(5):
            hazy = HAZE(image, objects, np.random.default_rng(seed))
            assert (hazy.shape, hazy.dtype) == (image.shape, torch.uint8)


def test_classes_of_unknown_height_and_objects_above_the_horizon_are_no_trouble():
    sample, _ = street(7)
    high = torch.tensor([[10.0, 5.0, 30.0, 15.0], [50.0, 1.0, 52.0, 2.0]])
    flag = torch.zeros(2, dtype=torch.bool)
    objects = Annotations(
        high, torch.tensor([0, 1]), torch.zeros(2, 160, 224, dtype=torch.bool), flag, flag, flag
    )
    hazy = HazeAugment(1.0, ("kite", "unicorn"))(sample.image, objects, np.random.default_rng(0))
    assert hazy.float().std() > 5


def test_enlarging_along_edges_is_a_guided_filter():
    """At a step of one it is He's filter, which is implemented apart from it; enlarged, it puts a
    blurred edge in place."""
    rng = np.random.default_rng(0)
    guide, t = (torch.from_numpy(rng.random((40, 50), dtype=np.float32)) for _ in range(2))
    expected = guided_filter(guide[None, None], t[None, None], 3, 0.003)[0, 0]
    torch.testing.assert_close(
        fast_guided_filter(guide, guide, t, 3, 0.003), expected, rtol=1e-3, atol=1e-4
    )

    picture = torch.zeros(90, 90)
    picture[:, 46:] = 0.8
    small = torch.nn.functional.avg_pool2d(picture[None], 3)[0]
    blurred = torch.linspace(-3, 3, 30).sigmoid().expand(30, 30)
    sharp = fast_guided_filter(picture, small, blurred, 3, 0.003)
    assert float(sharp[45, 46] - sharp[45, 45]) > 5 * float(blurred[0].diff().max()) / 3


# --- in the training ------------------------------------------------------------------------------


def test_only_source_images_are_hazed_and_batches_are_pure(tiny: Callable[..., TrainConfig]):
    config, plain = tiny(haze_augment=0.5, batch=4), tiny(batch=4)
    batches, again, without = (make_batches(c, *open_data(c)) for c in (config, config, plain))
    same = []
    for iteration in (0, 5, 2):
        one, two, clear = batches[iteration], again[iteration], without[iteration]
        for a, b, c in zip(one.source, two.source, clear.source, strict=True):
            assert torch.equal(a.image, b.image)
            same.append(torch.equal(a.image, c.image))
            assert a.objects is not None
            assert c.objects is not None
            assert torch.equal(a.objects.boxes, c.objects.boxes)
        for a, c in zip(one.target, clear.target, strict=True):
            assert torch.equal(a.image, c.image)
    assert 0 < sum(same) < len(same)


def test_old_configurations_have_no_haze(tiny: Callable[..., TrainConfig]):
    values: dict[str, Any] = tiny(haze_augment=0.25).to_dict()
    assert TrainConfig.from_dict(values).haze_augment == 0.25
    del values["haze_augment"]
    assert TrainConfig.from_dict(values).haze_augment == 0


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_the_probability_must_be_one(tiny: Callable[..., TrainConfig], value: float):
    with pytest.raises(UserError, match=r"--haze-augment must be in \[0, 1\]"):
        tiny(haze_augment=value)


@pytest.mark.parametrize("value", ["-0.1", "1.01", "nan"])
def test_the_command_line_refuses_what_is_no_probability(value: str, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "train",
                "--method",
                "source",
                "--source",
                "clear",
                "--haze-augment",
                value,
                "--out",
                str(tmp_path / "runs"),
            ]
        )
    assert caught.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("dmaskrcnn: --haze-augment must be in [0, 1], got ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.realdata
def test_photographs_look_foggy():
    """Mean saturation and contrast fall, on real photographs with boxes only."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "highway"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    data = open_dataset(folder / "instances_val.json")
    haze, resize = HazeAugment(1.0, data.classes), Augmentation(320, 480, flip=0)
    before, after = [], []
    for i in range(0, 60, 3):
        sample = resize(data.load(i), i)
        for image, found in (
            (sample.image, before),
            (haze(sample.image, sample.objects, np.random.default_rng(i)), after),
        ):
            found.append(float((image.float().amax(0) - image.float().amin(0)).mean()))
    assert np.mean(after) < 0.8 * np.mean(before)


def test_haze_follows_the_line_of_sight(monkeypatch: pytest.MonkeyPatch):
    """What the haze is computed from is longer than the depth along the axis, most in the
    corners."""
    axis, ways = [], []
    original = random_haze.ray_length

    def remembered(depth: np.ndarray, focal: float) -> np.ndarray:
        axis.append(depth)
        ways.append(original(depth, focal))
        return ways[-1]

    monkeypatch.setattr(random_haze, "ray_length", remembered)
    sample, _ = street(3)
    plain = HAZE(sample.image, sample.objects, np.random.default_rng(0))
    stretch = ways[0] / axis[0]
    height, width = stretch.shape
    assert stretch[height // 2, width // 2] == pytest.approx(1, abs=0.01)
    assert stretch[0, 0] == stretch.max() > 1.05
    monkeypatch.setattr(random_haze, "ray_length", lambda depth, focal: 3 * depth)
    thicker = HAZE(sample.image, sample.objects, np.random.default_rng(0))
    assert thicker.float().std() < plain.float().std()  # and its result is what is used

import json

import pytest
import torch
import yaml

from dmaskrcnn import adapt
from dmaskrcnn.cli.main import main
from dmaskrcnn.config.presets import BEST
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data.loader import Batches
from dmaskrcnn.errors import UserError
from dmaskrcnn.training.adapt import adapt_config
from dmaskrcnn.training.loop import train


def test_adapt_trains_the_favoured_method(clear, hazy, tmp_path, capsys):
    main(
        [
            "adapt",
            "--source",
            str(clear),
            "--target",
            str(hazy),
            "--preset",
            "demo",
            "--iterations",
            "2",
            "--device",
            "cpu",
            "--out",
            str(tmp_path),
        ]
    )
    out, err = capsys.readouterr()
    run = tmp_path / "adapt-1"
    assert out.strip().endswith(str(run))
    assert "burn-in: iteration 1" in err
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert {name: values[name] for name in BEST} == BEST
    assert json.loads((run / "model.json").read_text())["weights"] == "ema"


def test_no_round_for_labels_where_nothing_is_trained(clear, hazy, tmp_path):
    common = {"source": (clear,), "target": (hazy,), "preset": "demo"}

    def labeller(**values):
        return adapt_config({**common, **values}).to_dict()["labeller"]

    assert labeller() == "self"
    assert labeller(pseudo_labels="labels.json") == "self"
    assert labeller(pseudo_labels="labels.json", labeller="none") == "none"
    assert labeller(iterations=0, weights=str(tmp_path)) == "none"
    assert labeller(iterations=0, minutes=30) == "self"
    assert labeller(labeller="none") == "none"


def test_preset_follows_the_hardware(clear, hazy, tmp_path, monkeypatch):
    seen: list[TrainConfig] = []
    monkeypatch.setattr("dmaskrcnn.training.loop.train", seen.append)
    adapt([clear], [hazy], device="cpu", out=tmp_path)
    assert seen[0].preset == "cpu"


def test_it_ends_by_the_clock_unless_a_length_is_given(clear, hazy, monkeypatch):
    def length(**values):
        config = adapt_config({"source": (clear,), "target": (hazy,), **values})
        return config.iterations, config.minutes

    assert length(device="cpu") == length(device="cpu", preset="mobile") == (0, 40)
    assert length(iterations=5) == (5, 0)
    assert length(minutes=5) == (0, 5)
    device = torch.device("cuda")
    monkeypatch.setattr("dmaskrcnn.device.resolve_device", lambda _: device)
    assert length() == (0, 7)


def test_bad_input_is_told_in_one_line(tmp_path, hazy, capsys):
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "adapt",
                "--source",
                str(tmp_path / "none.json"),
                "--target",
                str(hazy),
                "--preset",
                "demo",
                "--device",
                "cpu",
            ]
        )
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "none.json" in line


def test_oracle_reads_the_targets_labels_and_no_other_method_does(tiny, clear, hazy, monkeypatch):
    seen: dict[str, list[bool]] = {}
    get = Batches.__getitem__

    def look(self: Batches, index: int):
        batch = get(self, index)
        seen[method] += [sample.objects is not None for sample in batch.target]
        return batch

    monkeypatch.setattr(Batches, "__getitem__", look)
    for method in ("oracle", "teacher", "grl"):
        seen[method] = []
        train(
            tiny(
                method=method,
                target=(clear,),
                iterations=2,
                **({"burn_in": 0.0} if method == "teacher" else {}),
            )
        )
    assert all(seen["oracle"])
    assert seen["oracle"]
    assert not any(seen["teacher"] + seen["grl"])
    with pytest.raises(UserError, match="holds no labels, which --method oracle needs"):
        train(tiny(method="oracle", target=(hazy,)))


def test_what_is_saved_reads_at_a_size_of_its_own(tiny):
    run = train(tiny(method="source", iterations=2, read_size=96))
    described = json.loads((run / "model.json").read_text())["detector"]
    assert (described["image_size"], described["max_size"]) == (96, 144)
    assert yaml.safe_load((run / "config.yaml").read_text())["image_size"] == 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"read_size": -1}, "--read-size must not be negative"),
        ({"multi_scale": (1.5, 0.8)}, "--multi-scale must be two rising factors"),
    ],
)
def test_sizes_are_checked(tiny, options, said):
    with pytest.raises(UserError, match=said):
        tiny(method="source", **options)

"""The flags of `dmaskrcnn train` and `adapt`: defaults, files, and what a method file adds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dmaskrcnn.cli.main import main
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.training import loop as training

Make = Callable[..., TrainConfig]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., TrainConfig]:
    """The configuration that words lead to, without a training."""
    got: list[TrainConfig] = []
    monkeypatch.setattr(training, "train", lambda config: got.append(config) or tmp_path)

    def parse(*words: object) -> TrainConfig:
        main([str(word) for word in words])
        return got[-1]

    return parse


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What --help says, in one line."""
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", "").split())


class TestConfigFile:
    def test_of_a_run_is_accepted_as_it_is(
        self,
        config_file: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ):
        main(["train", "--config", str(config_file)])
        first = Path(capsys.readouterr().out.splitlines()[-1])
        assert first == tmp_path / "runs" / "grl-1"
        got: list[TrainConfig] = []
        monkeypatch.setattr(training, "train", lambda config: got.append(config) or tmp_path)
        main(["train", f"--config={first / 'config.yaml'}"])
        assert got[0].to_dict() == yaml.safe_load((first / "config.yaml").read_text())

    def test_flags_win(self, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        got: list[TrainConfig] = []
        monkeypatch.setattr(training, "train", lambda config: got.append(config) or tmp_path)
        values = {
            **yaml.safe_load(config_file.read_text()),
            "classes": ["traffic light", "car"],
            "grl_ramp": True,
            "lr": "1e-3",
        }
        config_file.write_text(yaml.safe_dump(values))
        for arguments in (
            [],
            ["--no-grl-ramp", "--minutes", "3"],
            ["--classes", "bus"],
            ["--method", "source"],
            ["--batch", "6"],
        ):
            main(["train", "--config", str(config_file), *arguments])
        plain, timed, buses, source, large = got
        assert plain.classes == ("traffic light", "car")
        assert (plain.settings.grl_ramp, plain.lr, plain.iterations) == (True, 1e-3, 2)
        assert (timed.settings.grl_ramp, timed.minutes, timed.iterations) == (False, 3.0, 0)
        assert buses.classes == ("bus",)
        assert (source.method, source.targets) == ("source", 0)
        assert (large.batch, large.targets) == (6, 6)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: [1", "not a readable YAML file"),
            ("- a", "holds no fields"),
            ("itertions: 3", "unknown field 'itertions'; did you mean iterations?"),
            ("batch: {a: 1}", "batch: holds fields of its own"),
            ("batch: many", "config.yaml: batch: 'many' is not a whole number"),
            ("optimizer: sgdd", "optimizer: 'sgdd' is unknown; choose one of sgd, adamw"),
        ],
    )
    def test_broken(self, tmp_path: Path, fails: Callable[..., str], text: str, message: str):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        assert message in fails("train", "--config", path)
        assert "gone.yaml" in fails("train", "--config", tmp_path / "gone.yaml")


class TestDefaults:
    def test_help_shows_those_that_the_other_words_lead_to(
        self, capsys: pytest.CaptureFixture[str], config_file: Path, tmp_path: Path
    ):
        cpu = help_of(capsys, "train", "--preset", "cpu")
        assert "(default: resnet18)" in cpu
        assert "--lr FLOAT Learning rate of the detector. (default: 0.0003)" in cpu
        paper = help_of(capsys, "train", "--preset", "paper", "--method", "source")
        assert "convolutional one per FPN level. (default: paper)" in paper
        assert "(training from scratch). (default: batch)" in help_of(
            capsys, "train", "--weights", "scratch"
        )
        trained = help_of(capsys, "train", "--method", "teacher", "--weights", str(tmp_path))
        assert "0.25 with haze. (default: 0.0)" in trained
        assert "(default: 160)" not in (
            file := help_of(capsys, "train", "--config", str(config_file))
        )
        assert "network's input in pixels. (default: 64)" in file
        assert "saved, sees them as they are. (default: dark-channel)" in help_of(capsys, "adapt")

    def test_settings_are_shown_once_under_their_methods(self, capsys: pytest.CaptureFixture[str]):
        text = help_of(capsys, "train")
        assert text.count("--grl-lambda FLOAT") == text.count("--burn-in FLOAT") == 1
        assert (
            text.index("grl, teacher options")
            < text.index("--grl-lambda FLOAT")
            < text.rindex(" teacher options")
            < text.index("--burn-in FLOAT")
        )

    def test_a_preset_is_checked_with_its_own_sizes(self, parsed: Callable[..., TrainConfig]):
        config = parsed("train", "--preset", "cpu", "--method", "source", "--max-size", 640)
        assert (config.detector.image_size, config.detector.max_size) == (320, 640)

    def test_every_option_of_a_detector_is_a_flag(self, parsed: Callable[..., TrainConfig]):
        words = ("--anchor-sizes", *range(8, 13), "--no-strong-augment", "--box_nms=0.4")
        config = parsed("train", "--method", "source", *words)
        assert config.detector.anchor_sizes == (8, 9, 10, 11, 12)
        assert (config.detector.box_nms, config.strong_augment) == (0.4, False)


class TestAdapt:
    def test_is_train_with_other_defaults(self, parsed: Callable[..., TrainConfig]):
        words = ("--source", "a", "--target", "b", "--device", "cpu")
        config = parsed("adapt", *words)
        assert (config.preset, config.name, config.method) == ("cpu", "adapt", "teacher")
        same = ("--preset", "cpu", "--name", "adapt", "--method", "teacher", "--minutes", 40)
        same = parsed("train", *words, *same)
        off = ("--teacher-dehaze", "none", "--haze-augment", 0, "--mosaic", 0)
        changed = parsed("adapt", *words, *off, "--labeller", "none")
        assert changed == same
        other = parsed("adapt", *words, "--method", "grl", "--batch", 2, "--drop-invalid")
        assert (other.method, other.haze_augment, other.batch) == ("grl", 0.5, 2)

    def test_a_file_with_an_unknown_method(self, config_file: Path, fails: Callable[..., str]):
        config_file.write_text(config_file.read_text().replace("method: grl", "method: gril"))
        assert "--method 'gril' is unknown" in fails("adapt", "--config", config_file)

    def test_takes_a_file(self, parsed: Callable[..., TrainConfig], config_file: Path):
        config = parsed("adapt", "--config", config_file, "--iterations", 3)
        assert (config.method, config.preset, config.iterations) == ("grl", "demo", 3)


def test_words_that_do_not_go_together(config_file: Path, fails: Callable[..., str]):
    for method, flags, said in (
        ("grl", ("--burn-in", 0.5), "--burn-in has no use with --method grl"),
        ("source", ("--no-align",), "--align has no use with --method source"),
        ("source", ("--grl-lambda", 0.1), "leave it out, or use --method grl or teacher"),
    ):
        assert said in fails("train", "--method", method, "--target", "x", *flags)
    said = fails("train", "--config", config_file, "--preset", "cpu")
    assert f"--preset cpu: {config_file} has the preset demo" in said
    assert "leave --config out" in fails("train", "--resume", "x", "--config", config_file)


# --- a way to train of one's own ------------------------------------------------------------------

OWN = '''
from dataclasses import dataclass

from dmaskrcnn.config.methods import MethodSettings
from dmaskrcnn.methods.source import Source


@dataclass(frozen=True)
class OwnSettings(MethodSettings):
    """Counts for nothing."""

    steps_back: int = 1
    """How far to go back."""

    def build(self, detector):
        print(f"goes back {self.steps_back} steps")
        return Source(detector)
'''


def test_a_method_is_one_file(
    config_file: Path,
    hazy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    import dmaskrcnn.methods

    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "backwards.py").write_text(OWN)
    path = [*dmaskrcnn.methods.__path__, str(tmp_path / "ours")]
    monkeypatch.setattr(dmaskrcnn.methods, "__path__", path)
    text = help_of(capsys, "train")
    assert "`backwards`: Counts for nothing." in text
    assert "backwards options" in text
    assert "--steps-back INT How far to go back. (default: 1)" in text
    try:
        words = ("--config", config_file, "--method", "backwards", "--steps-back", "3")
        main(["train", *map(str, words), "--target", str(hazy)])
    finally:
        sys.modules.pop("dmaskrcnn.methods.backwards", None)
    said = capsys.readouterr()
    assert "goes back 3 steps" in said.out
    assert "\nbackwards: resnet18 FPN" in said.err
    run = Path(said.out.splitlines()[-1])
    values = yaml.safe_load((run / "config.yaml").read_text())
    assert (run.name, values["method"], values["steps_back"]) == ("backwards-1", "backwards", 3)
    assert (run / "model.safetensors").is_file()

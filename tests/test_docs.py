"""The commands and snippets of README and docs/: flags exist, and Python runs."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from dmaskrcnn.config.presets import PRESETS
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.demo import write_scenes
from dmaskrcnn.training.loop import train

# not the function of the same name
cli = import_module("dmaskrcnn.cli.main")
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (p.name, b)
        for p in PAGES
        for b in re.findall(rf"```{language}\n(.*?)```", p.read_text(encoding="utf-8"), re.S)
    ]


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page, block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "dmaskrcnn" in words and "install" not in words[:2]:
                arguments = words[words.index("dmaskrcnn") + 1 :]
                for end in ("&&", "|", ">", "2>"):
                    arguments = arguments[: arguments.index(end)] if end in arguments else arguments
                found.append((page, arguments))
    return found


def test_there_are_commands():
    assert len(commands()) >= 8


@pytest.mark.parametrize(
    ("page", "arguments"), commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_command_parses(page: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch):
    if arguments in (["--help"], ["--version"]):
        return
    seen = []
    monkeypatch.setattr(cli, "_VERBS", dict.fromkeys(cli._VERBS, seen.append))
    cli.main(arguments)
    assert len(seen) == 1


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_preset_table_is_true():
    table = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = {
        r.split("|")[1].strip(): [c.strip() for c in r.split("|")[2:-1]]
        for r in table.splitlines()
        if r.startswith("| ")
    }
    for column, name in enumerate(("cpu", "default", "paper")):
        preset = PRESETS[name]
        d, grl = preset.detector, TrainConfig.from_preset(name, method="grl", target="x").settings
        expected = {
            "backbone, FPN channels": f"{d.backbone}, {d.fpn_channels}",
            "short side, at most": f"{d.image_size}, {d.max_size} px",
            "RoIs sampled, proposals (train, test)": f"{d.rois_sampled}; {d.post_nms[0]}, "
            f"{d.post_nms[1]}",
            "start (`--weights`)": f"`{preset.weights}`",
            "iterations, source images each": f"{preset.iterations:,}, {preset.batch}",
            "classifier, reversal": f"`{grl.classifier}`, {grl.grl_reverse}",
            "averaged weights (`--ema`)": f"{preset.ema}" if preset.ema else "off",
        }
        for row, value in expected.items():
            assert rows[row][column].lower().replace("-", "") == value.lower().replace("-", ""), (
                row,
                name,
            )
        optimizer, rate = rows["optimiser, rate"][column].split(", ")
        assert (optimizer.lower(), float(rate)) == (preset.optimizer, preset.lr)


def test_python_snippets_run(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a folder that has what the snippets name."""
    snippets = blocks("python")
    assert snippets
    write_scenes(tmp_path / "test", 3, seed=5, size=(64, 96))
    scenes = write_scenes(tmp_path / "clear", 4, seed=6, size=(64, 96))
    write_scenes(tmp_path / "hazy", 4, seed=7, size=(64, 96), visibility=(40, 80), labelled=False)
    for method in ("source", "grl"):
        train(tiny(method=method, iterations=1, out=tmp_path / "runs"))
    train(tiny(method="source", name="adapt", iterations=1, out=tmp_path / "runs"))
    Image.open(next((scenes / "images").iterdir())).save(tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    for page, code in snippets:
        code = code.replace('"cpu"', '"demo", iterations=1, workers=0, image_size=64, max_size=96')
        exec(compile(code, page, "exec"), {})

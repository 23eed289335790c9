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
    if arguments in (["--help"], ["--version"]) or "--tyro-print-completion" in arguments:
        return
    seen = []
    monkeypatch.setattr(cli, "_VERBS", dict.fromkeys(cli._VERBS, seen.append))
    cli.main(arguments)
    assert len(seen) == 1


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


FILE = re.compile(
    r"(?<![\w*./-])(?:[\w.-]+/)*([\w.-]+\.(?:json|csv|md|html|jpg|png|pt|safetensors|yaml|py|toml))\b"
)
# what users bring, as the pages call it
THEIRS = {
    "street.jpg",
    "val.json",
    "x_disparity.png",
    "x_leftImg8bit.png",
    "my-mscnn.safetensors",
    "other.json",
    "found.json",
    "yolo11n-seg.pt",
    "coco_instances_results.json",
    "target_detector.json",
    "instances_val.json",
    "paste.py",  # of the commit that is named beside it
}


def named_files() -> list[tuple[str, str]]:
    """The names of files in the words of the pages, without those within links."""
    found = set()
    for page in PAGES:
        text = re.sub(r"\]\([^)]*\)|https?:\S+", "", page.read_text(encoding="utf-8"))
        text = re.sub(r"```.*?```", "", text, flags=re.S)  # commands: their files are the user's
        for quoted in re.findall(r"`[^`\n]+`", text):
            found |= {(page.name, name) for name in FILE.findall(quoted)}
    return sorted(found)


def test_files_that_are_named_are_made_by_the_code():
    """Every file that the pages mention is one that the code writes or reads by that name, one of
    the repository, or one that users bring."""
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("src", "benchmarks", "tools")
        for file in (ROOT / folder).rglob("*.py")
    )
    ours = {
        p.name
        for folder in ("src", "docs", "benchmarks", "tools", "docker")
        for p in (ROOT / folder).rglob("*.*")
    }
    ours |= {p.name for p in ROOT.iterdir()} | THEIRS
    names = named_files()
    assert len(names) > 20
    missing = [(page, name) for page, name in names if name not in ours and name not in code]
    assert missing == []


def test_folders_in_a_run_are_made_by_the_code():
    """What the pages say lies in a run folder, is in the words of the code."""
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    within = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(
            r"\bruns/[\w-]+-\d+/([\w-]+)(?![\w.]*-\d)", page.read_text(encoding="utf-8")
        )
    }
    assert [(page, name) for page, name in sorted(within) if f'"{name}' not in code] == []


def test_site_has_all_pages():
    """The navigation names pages that exist, and none is left out."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = set(re.findall(r"[\w-]+\.md", nav))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert named == pages


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

"""The table of all comparisons: `.ci/run` has it measured for real, at the size of nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import all as everything
import pytest


def test_every_comparison_is_of_a_benchmark_that_is_there():
    folder = Path(everything.__file__).parent
    for one in everything.COMPARISONS:
        for command in filter(None, (one.command, one.tiny)):
            file, *words = command.split()
            source = (folder / file).read_text(encoding="utf-8")
            flags = [word for word in words if word.startswith("--")]
            assert [flag for flag in flags if f'"{flag}"' not in source] == []
        assert re.compile(one.ratio).groups == 1


def test_a_shared_command_runs_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    ran = []

    def run(command: str) -> str:
        ran.append(command)
        return (
            "| speed-up of source over torchvision | 2.50 | 1 to 3 | 2 |\n"
            "| speed-up of source in float32 over torchvision | 1.25 | 1 to 3 | 2 |\n"
            "| ratio, round by round | 0.50 (0.4 to 0.6) | |\n"
        )

    monkeypatch.setattr(everything, "run", run)
    words = ["all.py", "--only", "step", "labels", "--markdown", str(tmp_path / "table.md")]
    monkeypatch.setattr(sys, "argv", words)
    everything.main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[3].strip() for row in rows[2:]] == ["2.50", "1.25", "2.00"]
    assert len(ran) == 2
    assert "2.50" in (tmp_path / "table.md").read_text()


def test_a_table_that_has_changed_is_told():
    one = next(one for one in everything.COMPARISONS if one.name == "labels")
    with pytest.raises(SystemExit, match=r"large_data.py --share 0.05: no round by round"):
        everything.ratio_of(one, "| nothing |")

"""What verbs take: each is run, and has its row."""

from __future__ import annotations

import sys

import pytest
import startup


def test_a_row_for_each_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    words = ["startup.py", "--only", "help", "evaluate", "--rounds", "1", "--images", "2"]
    monkeypatch.setattr(sys, "argv", words)
    startup.main()
    _, _, *rows = capsys.readouterr().out.splitlines()
    commands = [row.split("|")[1].strip(" `") for row in rows]
    assert commands == ["dmaskrcnn --help", "dmaskrcnn evaluate found.json --data truth.json"]


def test_a_verb_that_fails_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"inspect gone.json failed:\n.*gone.json"):
        startup.ran(["inspect", "gone.json"], tmp_path)

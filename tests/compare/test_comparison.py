"""A comparison on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.compare.rows import compare
from dmaskrcnn.errors import UserError


class TestSaved:
    @pytest.fixture
    def out(self, runs: list[Path], clear: Path, tmp_path: Path) -> Path:
        compare(runs[:1], [clear], out=tmp_path / "out", bootstrap=5)
        return tmp_path / "out"

    def test_folder_can_be_moved(self, out: Path, clear: Path):
        moved = out.rename(out.with_name("moved"))
        row = load_comparison(moved).rows[0]
        assert row.predictions == (moved / "predictions" / "none" / "source-1.json",)
        assert row.predictions[0].is_file()

    def test_damage_is_told(self, out: Path, tmp_path: Path):
        with pytest.raises(UserError, match=r"comparison\.json: not found"):
            load_comparison(tmp_path / "gone")
        content = json.loads((out / "comparison.json").read_text())
        for broken in (
            "hello",
            "[]",
            "{}",
            json.dumps(content | {"rows": [{}]}),
            json.dumps(content | {"format": "other"}),
        ):
            (out / "comparison.json").write_text(broken)
            with pytest.raises(UserError, match="not a readable comparison"):
                load_comparison(out)
        (out / "comparison.json").write_text(json.dumps(content))
        shutil.copy(next(out.rglob("*.json")), out / "comparison.safetensors")
        with pytest.raises(UserError, match="is of another comparison"):
            load_comparison(out)

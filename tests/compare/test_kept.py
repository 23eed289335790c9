"""`dmaskrcnn compare` started again: what is found, and what is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import write_image
from disk import contents, full_disk
from evaluation_cases import save_detector

from dmaskrcnn import Detector
from dmaskrcnn.compare.comparison import load_comparison
from dmaskrcnn.compare.rows import compare
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.errors import UserError


def again(work: dict[str, int], *arguments: Any, **options: Any) -> tuple[int, int]:
    """Compare, and say how many images were dehazed and detected in."""
    work.update(dehazed=0, detected=0)
    compare(*arguments, **options)
    return work["dehazed"], work["detected"]


class TestWhatIsFoundAgain:
    def test_all_of_it(self, own: tuple[list[Path], Path], tmp_path: Path, work: dict[str, int]):
        runs, data = own
        out = tmp_path / "out"
        options = {"dehaze": ["none", "dark-channel"], "out": out, "bootstrap": 10}
        assert again(work, runs[:1], [data], **options) == (6, 12)
        before = contents(out)
        assert again(work, runs[:1], [data], **options) == (0, 0)
        assert contents(out) == before
        assert again(work, runs, [data], **options) == (0, 12)  # another run
        assert again(
            work, runs, [data], **options | {"dehaze": ["aod-net", "none"], "bootstrap": 5}
        ) == (6, 12)
        assert again(work, runs, [data], **options | {"classes": ["car"]}) == (0, 0)

    def test_not_what_belongs_to_other_inputs(
        self, own: tuple[list[Path], Path], tmp_path: Path, work: dict[str, int]
    ):
        runs, data = own
        options = {"dehaze": ["none", "dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        compare(runs, [data], **options)
        first = load_comparison(tmp_path / "out").rows[3].predictions[0].read_text()
        save_detector(runs[1], seed=7)  # trained again
        assert again(work, runs, [data], **options) == (0, 12)
        assert load_comparison(tmp_path / "out").rows[3].predictions[0].read_text() != first
        write_image(sorted((data / "images").iterdir())[2], 64, 96)
        assert again(work, runs, [data], **options) == (6, 24)
        dehazed = sorted((tmp_path / "out" / "dehazed" / "dark-channel").glob("*.png"))
        dehazed[1].unlink()
        assert again(work, runs, [data], **options) == (1, 0)
        predictions = tmp_path / "out" / "predictions" / "none" / "grl-1.json"
        predictions.write_text("[]")
        assert again(work, runs, [data], **options) == (0, 6)
        assert predictions.read_text() != "[]"

    def test_test_set_that_became_smaller(self, own: tuple[list[Path], Path], tmp_path: Path):
        runs, data = own
        options = {"dehaze": ["dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        compare(runs[:1], [data], **options)
        table = json.loads((data / "annotations.json").read_text())
        table["images"] = table["images"][:2]
        table["annotations"] = [a for a in table["annotations"] if a["image_id"] <= 2]
        (data / "annotations.json").write_text(json.dumps(table))
        assert compare(runs[:1], [data], **options).rows[0].scores.images == 2
        assert len(list((tmp_path / "out" / "dehazed" / "dark-channel").glob("*.png"))) == 2

    def test_interruption_keeps_finished_rows(
        self,
        runs: list[Path],
        clear: Path,
        tmp_path: Path,
        work: dict[str, int],
        monkeypatch: pytest.MonkeyPatch,
    ):
        options = {"dehaze": ["none", "dark-channel"], "out": tmp_path / "out", "bootstrap": 0}
        predict, dehaze = Detector.predict, Dehazer.__call__

        def stop(what: str, after: int, function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any, **keywords: Any) -> Any:
                if work[what] >= after:
                    raise KeyboardInterrupt
                return function(*arguments, **keywords)

            return run

        monkeypatch.setattr(Detector, "predict", stop("detected", 10, predict))  # in the second row
        with pytest.raises(KeyboardInterrupt):
            compare(runs, [clear], **options)
        monkeypatch.setattr(Detector, "predict", predict)
        monkeypatch.setattr(Dehazer, "__call__", stop("dehazed", 4, dehaze))
        work.update(dehazed=0, detected=0)
        with pytest.raises(KeyboardInterrupt):
            compare(runs, [clear], **options)
        assert work == {"dehazed": 4, "detected": 6}
        monkeypatch.setattr(Dehazer, "__call__", dehaze)
        assert again(work, runs, [clear], **options) == (2, 12)

    def test_full_disk_keeps_the_comparison_before(
        self, runs: list[Path], clear: Path, tmp_path: Path
    ):
        options = {"out": tmp_path / "out", "bootstrap": 0}
        compare(runs[:1], [clear], **options)
        before = contents(tmp_path / "out")
        with (
            full_disk(2000),
            pytest.raises(UserError, match=r"(\.png|grl-1\.json|cache\.json): cannot be written"),
        ):
            compare(runs, [clear], ["none", "dark-channel"], **options)
        after = contents(tmp_path / "out")
        assert {name: after[name] for name in before} == before
        assert len(compare(runs, [clear], ["none", "dark-channel"], **options).rows) == 4

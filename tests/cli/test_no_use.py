"""Flags that can have no effect beside the others are refused in one line, which names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import write_image

PREDICT = "predict run pictures --out out"
HAZE = "haze pictures --visibility 50 --out out"
COMPARE = "compare --runs run --data test --dehaze dark-channel"
CASES = {
    f"{PREDICT} --haze-thresholds 0.2 0.3": "--haze-thresholds has no use without --clear",
    "serve run --haze-thresholds 0.2 0.3": "--haze-thresholds has no use without --clear",
    f"{PREDICT} --every 5": "--every has no use for pictures, and no video is given",
    f"{PREDICT} --track": "--track has no use for pictures",
    f"{PREDICT} --start 5": "--start has no use for pictures",
    f"{PREDICT} --no-video": "--no-video has no use for pictures",
    f"{PREDICT} --every 5 --cluster": "--every has no use with --cluster",
    f"{PREDICT} --no-video --cluster": "--no-video has no use with --cluster",
    f"{HAZE} --depth-scale 0.01": "--depth-scale has no use without --depth",
    f"{HAZE} --drop-invalid --cluster": "--drop-invalid has no use with --cluster",
    f"{HAZE} --images more --cluster": "--images has no use with --cluster",
    f"{COMPARE} --mscnn-weights a": "--mscnn-weights has no use without --dehaze mscnn",
    f"{COMPARE} --aod-net-weights a": "--aod-net-weights has no use without --dehaze aod-net",
    "report run --groups folder": "--groups has no use without --data",
    "report run --orientation stored": "--orientation has no use without --data",
    "export run --out out --allow-loss 0.1": "--allow-loss has no use without --int8",
    "evaluate a.json b.json --data test --image-size 480": "--image-size has no use with results",
    "evaluate run@320 --data test --image-size 480": "--image-size has no use with results",
}


@pytest.mark.parametrize("words", CASES)
def test_what_has_no_effect_is_refused(
    words: str, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "pictures" / "x.png")
    said = fails(*words.split())
    assert said.startswith(CASES[words])
    assert "leave" in said
    assert not (tmp_path / "out").exists()

"""Depth maps: which file belongs to a picture, and what stands in for unknown depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dmaskrcnn.errors import UserError
from dmaskrcnn.haze import DepthMaps
from dmaskrcnn.haze.depth_maps import fill_unknown, open_depth_maps


def test_maps_are_found_by_path_then_by_name(tmp_path: Path):
    for name in ("a/x.npy", "b/x.npy", "c/only_depth.npy", "img_001.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.ones((2, 2)))
    maps = DepthMaps(tmp_path)
    assert maps.find(Path("a/x.jpg")) == tmp_path / "a" / "x.npy"
    assert maps.find(Path("elsewhere/only_rgb.png")) == tmp_path / "c" / "only_depth.npy"
    # of two the one is not guessed, nor a neighbour taken
    for missing in ("x.jpg", "img_002.jpg", "img.jpg"):
        with pytest.raises(UserError, match=r"depth maps? for"):
            maps.find(Path(missing))
    assert open_depth_maps(None) is None


@pytest.mark.parametrize(
    ("name", "metres", "visibilities", "said"),
    [
        ("x.png", 0.02, (50, 90), "0.02 to 0.02 m away, where haze changes nothing at 50 m of"),
        ("x.npy", 20000, (50, 90), "leaves nothing to see at 90 m of visibility; write metres"),
        ("x.npy", 20, (50,), ""),
        ("x.png", 0.02, (1, 1e5), ""),  # where the smallest is wanted, the largest shows nothing
        ("x.npy", np.inf, (50,), ""),
    ],
)
def test_a_wrong_unit_is_doubted(
    tmp_path: Path, name: str, metres: float, visibilities: tuple[float, ...], said: str
):
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    depth = np.array([[np.inf, metres]], np.float32)
    found = DepthMaps(tmp_path).doubts(tmp_path / name, depth, visibilities)
    assert len(found) == bool(said)
    assert said in "".join(found)
    if name == "x.png":
        assert all("--depth-scale" in doubt for doubt in found)
    disparity = DepthMaps(tmp_path, focal_baseline=400)
    for doubt in disparity.doubts(tmp_path / name, depth, visibilities):
        assert doubt.endswith("give --focal-baseline in px times metres, if not 400")


def test_unknown_depth_is_filled_from_the_farther_side():
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 50, (12, 15)).astype(np.float32)
    known = rng.random((12, 15)) < 0.3
    known[4:7] = False
    known[0] = False
    expected = depth.copy()
    for y in range(12):
        row = min((r for r in range(12) if known[r].any()), key=lambda r, y=y: (abs(r - y), r))
        for x in range(15):
            if not known[y, x]:
                left = [depth[row, i] for i in range(x, -1, -1) if known[row, i]][:1]
                right = [depth[row, i] for i in range(x, 15) if known[row, i]][:1]
                expected[y, x] = max(left + right)
    np.testing.assert_array_equal(fill_unknown(depth, known), expected)
    assert fill_unknown(depth, np.ones_like(known)) is depth

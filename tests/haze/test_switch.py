"""Hysteresis between clear and hazy."""

import pytest

from dmaskrcnn.errors import UserError
from dmaskrcnn.haze.switch import HazeSwitch


def test_it_turns_at_two_thresholds():
    switch = HazeSwitch(0.4, 0.6)
    hazes = (0.3, 0.5, 0.6, 0.61, 0.5, 0.4, 0.39, 0.5, 0.61)
    assert [switch.update(h) for h in hazes] == [
        *(False, False, False),
        *(True, True, True),
        *(False, False, True),
    ]


def test_noise_between_the_thresholds_changes_nothing():
    for start in (0.1, 0.9):
        switch = HazeSwitch(0.4, 0.6)
        states = [switch.update(h) for h in (start, *[0.41, 0.59] * 50)]
        assert set(states) == {start > 0.5}


@pytest.mark.parametrize(("first", "hazy"), [(0.49, False), (0.51, True)])
def test_the_first_frame_goes_by_the_middle(first, hazy):
    assert HazeSwitch(0.4, 0.6).update(first) is hazy


@pytest.mark.parametrize("pair", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_thresholds_that_are_none(pair):
    with pytest.raises(UserError, match="--haze-thresholds must be two numbers from 0 to 1"):
        HazeSwitch(*pair)

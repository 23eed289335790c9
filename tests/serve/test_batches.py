"""Pictures of many callers in batches."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest
import torch
from predict_cases import LeftHalf
from serve_cases import Slow

from dmaskrcnn.images.by_detector import predict_each
from dmaskrcnn.serve.batches import Batches

PICTURE = torch.zeros(3, 20, 30, dtype=torch.uint8)


class Gate(LeftHalf):
    """Works once it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.open = threading.Event(), threading.Event()

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        self.entered.set()
        assert self.open.wait(20)
        return super().predict(*args, **kwargs)


@pytest.fixture
def gate():
    """A detector at work on one picture, until it is opened."""
    gate, sizes = Gate(), []
    batches = Batches(4, sizes.append)
    first = batches.submit(gate, PICTURE, 0.5)
    assert gate.entered.wait(20)
    yield gate, batches, sizes, first
    gate.open.set()
    batches.close()


def test_what_waits_goes_together_whatever_its_size(gate):
    detector, batches, sizes, first = gate
    shapes = [(3, 10 + i, 20) for i in range(6)]
    answers = [batches.submit(detector, torch.zeros(s, dtype=torch.uint8), 0.5) for s in shapes]
    detector.open.set()
    found = [answer.result(20) for answer in (first, *answers)]
    assert sizes == [1, 4, 2]
    assert [(d.height, d.width) for d in found] == [(20, 30), *((s[1], s[2]) for s in shapes)]
    assert detector.batches[1] == shapes[:4]


def test_each_has_its_own_threshold_and_its_own_detector(gate):
    detector, batches, sizes, _ = gate
    other = LeftHalf(score=0.4)
    low = batches.submit(other, PICTURE, 0.3)
    high = batches.submit(other, PICTURE, 0.5)
    mine = batches.submit(detector, PICTURE, 0.7)
    detector.open.set()
    assert [len(answer.result(20)) for answer in (low, high, mine)] == [1, 0, 1]
    assert sizes == [1, 3]
    assert len(other.batches) == 1


def test_a_cancelled_one_costs_nothing(gate):
    detector, batches, sizes, first = gate
    given_up, kept = (batches.submit(detector, PICTURE, 0.5) for _ in range(2))
    assert given_up.cancel()
    detector.open.set()
    assert len(kept.result(20)) == len(first.result(20)) == 1
    assert sizes == [1, 1]
    with pytest.raises(CancelledError):
        given_up.result(0)


def test_a_failure_does_not_take_others_with_it(gate):
    class Picky(LeftHalf):
        def predict(self, images: Any, *args: Any, **kwargs: Any) -> Any:
            if any(image.shape[1] == 13 for image in images):
                raise RuntimeError("13")
            return super().predict(images, *args, **kwargs)

    detector, batches, *_ = gate
    picky = Picky()
    heights = (12, 13, 14)
    answers = [batches.submit(picky, torch.zeros(3, h, 9, dtype=torch.uint8), 0.5) for h in heights]
    detector.open.set()
    assert len(answers[0].result(20)) == len(answers[2].result(20)) == 1
    assert str(answers[1].exception(20)) == "13"
    assert len(batches.submit(picky, PICTURE, 0.5).result(20)) == 1  # it goes on


def test_closing_answers_all_that_was_submitted():
    batches = Batches(2)
    answers = [batches.submit(Slow(0.01), PICTURE, 0.5) for _ in range(7)]
    batches.close()
    assert all(answer.done() and len(answer.result()) == 1 for answer in answers)


def test_predict_each_keeps_the_order():
    one, two = LeftHalf(), LeftHalf(score=0.9)
    images = [torch.zeros(3, 5 + i, 8, dtype=torch.uint8) for i in range(4)]
    found = predict_each([one, two, one, two], images, 0.5)
    assert [d.height for d in found] == [5, 6, 7, 8]
    assert [round(float(d.scores[0]), 2) for d in found] == [0.75, 0.9, 0.75, 0.9]
    assert [len(b) for b in (*one.batches, *two.batches)] == [2, 2]
    assert predict_each([], [], 0.5) == []

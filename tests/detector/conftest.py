import pytest
import torch
from detector_cases import TINY
from torch import Tensor

from dmaskrcnn.detector.detector import Detector


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(("car", "person"), TINY).eval()


@pytest.fixture
def image() -> Tensor:
    return torch.randint(
        0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )

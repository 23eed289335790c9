"""Importing a detector does not wait for torch's compiler, which works all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]  # helpers of the tests
CODE = """
import sys
from dmaskrcnn import Detector
from untrained import UNTRAINED
import numpy as np
detector = Detector(("car",), UNTRAINED).eval()
detector.predict(np.zeros((64, 64, 3), np.uint8))
print(*(name in sys.modules for name in ("torch._dynamo", "sympy", "torch._inductor")))

import torch
import torchvision
roi_align = sys.modules["torchvision.ops.roi_align"]
print("torch._dynamo.utils" in sys.modules, roi_align.is_compile_supported("cpu"))
import torch._dynamo.utils as real
print(real.is_compile_supported("cpu"), real.__file__.endswith("utils.py"))
double = torch.compile(lambda x: x * 2, backend="eager")
print(double(torch.ones(1)).item())
"""


def test_detector_without_the_compiler():
    command = [sys.executable, "-c", CODE]
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["False False False", "False True", "True True", "2.0"]


def test_whatever_else_is_asked_for_is_the_real_one():
    code = """
import sys
from dmaskrcnn.detector import torchvision_import as ours
import torch
later = sys.modules["torch._dynamo.utils"] = ours._Later("torch._dynamo.utils")
from torch._dynamo.utils import counters
import torch._dynamo.utils
print(sys.modules["torch._dynamo.utils"] is not later, counters is torch._dynamo.utils.counters)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True"], done.stderr

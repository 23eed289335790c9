"""A service with detectors that are quick, slow or broken, and pictures to send."""

from __future__ import annotations

import http.client
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from predict_cases import LeftHalf

from dmaskrcnn.detections import Detections

JPEG = {"Content-Type": "image/jpeg"}


class Slow(LeftHalf):
    """Takes its time."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def predict(
        self, images: Sequence[torch.Tensor], threshold: float = 0.5, best: bool = False
    ) -> list[Detections]:
        time.sleep(self.seconds)
        return super().predict(list(images), threshold, best)


def encoded(size: tuple[int, int] = (40, 30), kind: str = "JPEG", colour: str = "grey") -> bytes:
    """A picture of one colour as a file."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, kind)
    return data.getvalue()


def noise(size: tuple[int, int], seed: int = 0) -> bytes:
    """A picture that hardly compresses, as PNG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=0)
    return data.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred kB with 400 megapixels."""
    data = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(data, "PNG")
    return data.getvalue()


def begun(*words: object, says: str) -> tuple[subprocess.Popen[str], str]:
    """A program of ours that goes on, and its first line, once that says so."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dmaskrcnn", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if says not in line:
        raise AssertionError(process.communicate()[1])
    return process, line


@dataclass
class Server:
    """A running `dmaskrcnn serve`."""

    process: subprocess.Popen[str]
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=150)

    def call(
        self, body: Any, headers: dict[str, str] = JPEG, path: str = "/predict", method="POST"
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer, over a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()

    def memory(self) -> float:
        """Resident, in MB."""
        text = self.call(None, {}, "/metrics", "GET")[2].decode()
        line = next(s for s in text.splitlines() if s.startswith("process_resident_memory_bytes "))
        return float(line.split()[1]) / 1e6

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def start(*arguments: object) -> Server:
    words = ("serve", *arguments, "--port", 0, "--device", "cpu")
    process, line = begun(*words, says="serving ")
    return Server(process, int(line.rsplit(":", 1)[1]))

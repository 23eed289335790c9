"""Pictures per second through `dmaskrcnn serve`, beside those of `dmaskrcnn predict`.

    python benchmarks/serve.py RUN PICTURES --rounds 5

Both do the same work: decode, detect in batches of 4, draw, encode. The service is a process of its
own, called by threads of this one over connections that are kept. Rounds take turns; the ratio is
that of the medians.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from dmaskrcnn.data.image import list_images
from dmaskrcnn.images.predict import predict_images
from dmaskrcnn.run import Run


def start(run: Path, batch_size: int, device: str) -> tuple[subprocess.Popen[str], int]:
    words = ["serve", str(run), "--port", "0", "--batch-size", str(batch_size)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dmaskrcnn", *words, "--device", device],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().rsplit(":", 1)[1])


def send(port: int, pictures: list[bytes], clients: int, answer: str) -> float:
    """Seconds until all are answered."""
    own = threading.local()

    def call(data: bytes) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": "image/x"}
        own.connection.request("POST", f"/predict?answer={answer}", data, headers)
        response = own.connection.getresponse()
        if response.status != 200:
            raise RuntimeError(response.read().decode())
        response.read()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(call, pictures))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path, help="a folder")
    parser.add_argument("--most", type=int, default=48, help="pictures in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--answer", choices=("json", "picture", "both"), default="both")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    files = list_images(options.pictures)[: options.most]
    pictures = [file.read_bytes() for file in files]
    detector = Run(options.run).detector(options.device)
    process, port = start(options.run, options.batch_size, options.device)
    predicted, served = [], []
    try:
        for number in range(options.rounds + 1):  # the first warms up
            out = Path(tempfile.mkdtemp())
            began = time.perf_counter()
            predict_images(detector, files, out, batch_size=options.batch_size, progress=False)
            predicted.append(time.perf_counter() - began)
            shutil.rmtree(out)
            served.append(send(port, pictures, options.clients, options.answer))
            if number:
                print(f"round {number}: predict {predicted[-1]:.2f} s, serve {served[-1]:.2f} s")
    finally:
        process.terminate()
        process.wait()
    a, b = (len(files) / statistics.median(times[1:]) for times in (predicted, served))
    print(
        f"{len(files)} pictures, {detector.config.backbone}, {torch.get_num_threads()} threads: "
        f"predict {a:.2f}/s, serve {b:.2f}/s ({options.answer}, {options.clients} clients): "
        f"{b / a:.0%}"
    )


if __name__ == "__main__":
    main()

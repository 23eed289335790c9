"""The service as it runs: a process of its own, two hundred clients at a time, signals."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from serve_cases import JPEG, bomb, encoded, noise

for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(module, reason="needs dmaskrcnn[serve]")

CLIENTS = 200


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """What the calls give, each from a thread of its own, all begun together."""
    barrier = Barrier(len(calls))

    def after_all(call: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(after_all, calls))


def test_two_hundred_clients_at_once_none_lost_and_memory_flat(started):
    server = started("--max-upload", 1, "--max-pixels", 4, "--timeout", 120)
    good = [encoded((96, 64), colour=c) for c in ("red", "grey", "navy", "white")]
    kinds: list[tuple[int, bytes, dict[str, str], str]] = [
        *((200, data, JPEG, "/predict") for data in good * 2),
        (200, good[0], JPEG, "/predict?answer=both"),
        (200, encoded((1200, 900)), JPEG, "/predict?answer=picture"),
        (200, noise((300, 200)), JPEG, "/predict?masks=no"),
        (413, bomb(), JPEG, "/predict"),
        (413, noise((900, 700)), JPEG, "/predict"),
        (415, b"no picture at all", JPEG, "/predict"),
        (415, good[0], {"Content-Type": "video/mp4"}, "/predict"),
        (422, noise((300, 200))[:-1000], JPEG, "/predict"),
        (422, good[0], JPEG, "/predict?threshold=7"),
        (400, b"{", {"Content-Type": "application/json"}, "/predict"),
        (404, good[0], JPEG, "/else"),
    ]
    chosen = [kinds[i % len(kinds)] for i in range(CLIENTS)]

    def round_of_calls() -> float:
        calls = [
            lambda data=data, headers=headers, path=path: server.call(data, headers, path)
            for _, data, headers, path in chosen
        ]
        answers = at_once(calls)
        assert Counter(status for status, *_ in answers) == Counter(wanted for wanted, *_ in chosen)
        for (wanted, _, _, path), (status, headers, body) in zip(chosen, answers, strict=True):
            assert status == wanted
            if headers["content-type"] == "application/json":
                said = json.loads(body)
                assert ("error" in said) == (wanted != 200)
            else:
                assert path.endswith("answer=picture")
        return server.memory()

    memory = [round_of_calls() for _ in range(2)]
    assert memory[1] < 1.1 * memory[0] + 40, memory
    assert server.process.poll() is None
    code, said = server.stop()
    assert (code, "Traceback" in said) == (0, False)


def test_what_was_taken_is_answered_after_sigterm(started):
    server = started("--timeout", 120)
    with ExitStack() as stack:
        taken = [stack.enter_context(closing(server.connect())) for _ in range(60)]
        for connection in taken:
            connection.request("POST", "/predict", encoded((96, 64)), JPEG)
        # all were sent before the first is answered; the others are waiting or at work
        assert taken[0].getresponse().status == 200
        server.process.send_signal(signal.SIGTERM)
        assert [connection.getresponse().status for connection in taken[1:]] == [200] * 59
    assert server.process.wait(30) == 0
    with pytest.raises(ConnectionRefusedError):
        server.call(encoded())


def test_a_full_queue_a_slow_body_a_huge_body_and_ctrl_c(started):
    server = started("--queue", 3, "--timeout", 5, "--max-upload", 1)
    lines = []
    for _ in range(3):  # they declare bodies that never come
        line = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        lines.append(line)
    deadline = time.monotonic() + 20
    status, headers, body = server.call(encoded())
    while status != 503 and time.monotonic() < deadline:
        status, headers, body = server.call(encoded())
    assert status == 503
    assert server.call(noise((500, 500)))[0] == 503  # its body is larger than any buffer
    assert headers["retry-after"] == "1"
    assert json.loads(body) == {"error": "3 calls are waiting; try again later"}
    for line in lines:
        assert line.recv(100).startswith(b"HTTP/1.1 408 ")
        line.close()

    before = server.memory()
    status, _, body = server.call(iter([b"x" * 1_000_000] * 200), JPEG)
    assert (status, json.loads(body)["error"][:26]) == (413, "the body has more than 1 M")
    connection = server.connect()
    connection.putrequest("POST", "/predict")
    for name, value in (("Content-Length", "1000000000"), ("Expect", "100-continue")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413  # told before a byte of it was sent
    connection.close()
    assert server.memory() < before + 40
    assert server.call(encoded())[0] == 200
    code, said = server.stop(signal.SIGINT)
    assert code == 0
    assert said.endswith("stopped: all calls that were taken are answered\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_the_docs(started, tmp_path):
    page = Path(__file__).parents[2] / "docs" / "serve.md"
    commands = re.findall(r"^curl .*$", page.read_text(encoding="utf-8"), re.M)
    assert len(commands) == 3
    server = started("--timeout", 120)
    (tmp_path / "photo.jpg").write_bytes(encoded((96, 64)))
    said = []
    for command in commands:
        words = [
            "bash",
            "-c",
            command.replace("curl ", "curl -sSf ").replace(":8000/", f":{server.port}/"),
        ]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert json.loads(said[0])["width"] == json.loads(said[2])["width"] == 96
    assert (tmp_path / "found.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_a_port_in_use(run, fails):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        said = fails("serve", run, "--port", port)
    assert said == f"--port {port}: is in use on 127.0.0.1; choose another --port"


def test_addresses_that_are_none(run, fails):
    assert fails("serve", run, "--port", 70000).startswith("--port must be from 0")
    said = fails("serve", run, "--port", 0, "--host", "203.0.113.7")
    assert said.startswith("--host 203.0.113.7: no address of this machine")

"""Callers who mean no good, against the service as it runs, uvicorn and all: each gets its status
or is hung up on, and the next caller is answered."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from unittest.mock import Mock

import pytest
from serve_cases import JPEG, Server, encoded, noise, start

for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(module, reason="needs dmaskrcnn[serve]")

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
TIMEOUT = 3  # seconds, of the services here
Started = Callable[..., Server]


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[Server]:
    """One for all that hold it to no limit of their own; it survives them without a word."""
    server = start(run, "--timeout", 60, "--max-upload", 5)
    yield server
    code, said = server.stop()
    assert (code, "Traceback" in said) == (0, False), said


def dial(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def in_flight(server: Server) -> float:
    text = server.call(None, {}, "/metrics", "GET")[2].decode()
    line = next(s for s in text.splitlines() if s.startswith("dmaskrcnn_calls_in_flight "))
    return float(line.split()[1])


def until(fulfilled: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not fulfilled():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_callers_who_leave_midway(server: Server):
    body = noise((400, 300))
    for _ in range(3):  # what the first predictions take stays
        assert server.call(encoded())[0] == 200
    before = server.memory()
    for sent in (0, 1000, len(body) // 2, len(body)):
        for _ in range(15):
            with closing(dial(server)) as line:
                line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:sent])
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: in_flight(server) == 0)
    assert server.call(encoded())[0] == 200
    assert server.memory() < before + 100


def test_heads_and_bodies_that_drip(started: Started):
    """A byte now and then holds a connection no longer than one that is silent."""
    server = started("--timeout", TIMEOUT)
    end = time.monotonic() + 10 * TIMEOUT
    with ExitStack() as stack:
        silent, head, body = (stack.enter_context(closing(dial(server))) for _ in range(3))
        head.sendall(HEAD)
        body.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        body.settimeout(0.2)
        answer = b""
        while not answer:
            with suppress(OSError):  # that of the head hangs up
                head.sendall(b"x")
            with suppress(TimeoutError):
                body.sendall(b"x")
                answer = body.recv(100)
            assert time.monotonic() < end
        assert answer.startswith(b"HTTP/1.1 408 ")
        for line in (silent, head):
            line.settimeout(10 * TIMEOUT)
            assert hung_up(line)
    assert server.call(encoded())[0] == 200


def hung_up(line: socket.socket) -> bool:
    try:
        return line.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_second_call_over_one_connection_has_its_own_time(started: Started):
    server = started("--timeout", 2)
    connection = server.connect()
    for _ in range(3):
        connection.request("POST", "/predict", encoded(), JPEG)
        response = connection.getresponse()
        assert (response.status, len(json.loads(response.read()))) == (200, 6)
        time.sleep(0.9)  # together longer than the limit
    connection.close()


def test_many_idle_connections(started: Started):
    server = started("--timeout", 60)
    lines = [dial(server) for _ in range(400)]
    kept = []
    for _ in range(50):  # answered once, and kept
        connection = server.connect()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        kept.append(connection)
    assert server.call(encoded())[0] == 200
    code, said = server.stop()  # does not wait for those who say nothing
    assert (code, "Traceback" in said) == (0, False), said
    for line in (*lines, *kept):
        line.close()


def test_chunks_without_a_length(server: Server):
    data = encoded((96, 64))
    pieces = [data[i : i + 50] for i in range(0, len(data), 50)]
    assert server.call(iter(pieces))[0] == 200
    with closing(dial(server)) as line:  # chunks that are none
        line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    with closing(dial(server)) as line:  # two lengths: whose rest is the next call?
        line.sendall(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    with closing(dial(server)) as line:
        line.sendall(HEAD + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    assert server.call(data)[0] == 200


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def test_pictures_and_bodies_that_swell(server: Server):
    """Within the limit of bytes; unpacked they would fill the memory."""
    swollen = zlib.compress(bytes(300_000_000), 9)
    rows = chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    kinds = {
        "text": (png(chunk(b"zTXt", b"a\0\0" + swollen), rows), {200, 415, 422}),
        "profile": (png(chunk(b"iCCP", b"a\0\0" + swollen), rows), {200, 415, 422}),
        "rows": (png(chunk(b"IDAT", swollen)), {200, 422}),
        "sides": (png(rows, width=2**31 - 1, height=2**31 - 1), {413, 415}),
        "one side": (png(rows, width=2**31 - 1, height=1), {413, 415}),
    }
    before = server.memory()
    for name, (data, wanted) in kinds.items():
        status, _, body = server.call(data)
        assert status in wanted, (name, status, body[:200])
    packed = gzip.compress(encoded())
    assert server.call(packed, {**JPEG, "Content-Encoding": "gzip"})[0] == 415
    assert server.memory() < before + 150
    assert server.call(encoded())[0] == 200


def test_forms_and_json_that_are_wrong(server: Server):
    text = base64.b64encode(encoded()).decode()
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n'
    plain = {"Content-Type": "application/json"}
    for body, headers, wanted in (
        (b"--b\r\nnothing like a part", form, 400),
        (file % (b"x", encoded()), form, 400),  # no end
        (part % (b"image", b"text") + b"--b--\r\n", form, 400),
        (b"".join(part % (b"f%d" % i, b"x") for i in range(1000)) + b"--b--\r\n", form, 400),
        (2 * (file % (b"x", encoded())) + b"--b--\r\n", form, 400),
        (file % (b"../../../etc/cron.d/x\0", encoded()) + b"--b--\r\n", form, 200),
        (b"x", {"Content-Type": "multipart/form-data; boundary=" + "b" * 5000}, 400),
        (b"[" * 100_000, plain, 400),
        (b'{"image": [' + b"{}," * 100_000 + b"{}]}", plain, 400),
        (b'{"image": "' + b"\xff" * 20 + b'"}', plain, 400),
        (json.dumps({"image": text[:-3]}), plain, 400),
        (json.dumps({"image": text, "threshold": float("nan")}), plain, 422),
        (json.dumps({"image": text, "threshold": 10**400}), plain, 422),
        (b'{"image": "' + text.encode() + b'", "image": 3}', plain, 400),
        (json.dumps({"image": "file:///etc/passwd"}), plain, 400),
        (json.dumps({"image": text, "run": "../../etc"}), plain, 422),
    ):
        status, _, said = server.call(body, headers)
        assert status == wanted, (body[:60], status, said[:200])
        assert b"Traceback" not in said


def test_nested_json_is_not_built():
    from dmaskrcnn.serve.limits import RefusedError
    from dmaskrcnn.serve.uploads import _from_json

    with pytest.raises(RefusedError, match="too many parts"):
        _from_json(b'{"a": [' + b"{}," * 100 + b"{}]}")


def test_callers_who_read_nothing_are_cut_off():
    from dmaskrcnn.serve.connections import closing_after

    connection = object.__new__(closing_after(0.05))
    connection.flow = Mock()

    async def written(read: bool) -> Mock:
        connection.loop, connection.transport = asyncio.get_running_loop(), Mock()
        connection.pause_writing()
        if read:
            connection.resume_writing()
        await asyncio.sleep(0.2)
        return connection.transport.abort

    asyncio.run(written(read=False)).assert_called_once()
    asyncio.run(written(read=True)).assert_not_called()


def test_paths_and_methods(server: Server):
    paths = ("/../../etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/predict%00", "/")
    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"):
            status, headers, body = server.call(None, {}, path, method)
            wanted = 404 if path != "/" else 200 if method == "GET" else 405
            assert status == wanted, (path, method)
            assert b"root:" not in body
            assert (status == 405) == ("allow" in headers)

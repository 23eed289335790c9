from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serve_cases import Server, start


@pytest.fixture
def started(run: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(*arguments: object) -> Server:
        servers.append(start(run, *arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.process.kill()
        server.process.communicate()

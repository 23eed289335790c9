"""The process that serves: its socket, its signals, its end."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from types import FrameType

import uvicorn

from dmaskrcnn.errors import UserError
from dmaskrcnn.serve.connections import closing_after
from dmaskrcnn.serve.http import make_app
from dmaskrcnn.serve.service import Service

BACKLOG = 2048  # connections that wait for the first look at them; uvicorn's own
GRACE = 5.0  # seconds beyond the time limit of a call, to send the last answers


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port in use shows before detectors are loaded. Who calls
    before the server runs waits.

    Raises:
        UserError: the port is in use or not allowed, or the host is not ours.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be from 0 (any that is free) to 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        return bound
    except OSError as error:
        said = {
            errno.EADDRINUSE: f"--port {port}: is in use on {host}; choose another --port",
            errno.EACCES: f"--port {port}: needs root's rights; choose one above 1023",
        }
        unknown = f"--host {host}: no address of this machine; 127.0.0.1 is this one alone, "
        raise UserError(said.get(error.errno or 0, f"{unknown}0.0.0.0 all networks")) from None


class _Server(uvicorn.Server):
    """Ends with 0 after a signal: uvicorn's own raises it once more at the end."""

    def __init__(self, config: uvicorn.Config, said: str):
        super().__init__(config)
        self._said = said

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._said, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and sig == signal.SIGINT  # Ctrl-C twice
        self.should_exit = True


def run_server(service: Service, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; then what was taken is answered. Says on stdout when calls are
    taken, and where."""
    config = uvicorn.Config(
        make_app(service),
        http=closing_after(service.limits.timeout),
        ws="none",
        log_level="warning",
        access_log=False,
        backlog=BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=round(service.limits.timeout + GRACE),
    )
    host, port = bound.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = _Server(config, f"serving {', '.join(service.runs)} on {address}")
    server.run([bound])
    print("stopped: all calls that were taken are answered", file=sys.stderr)

"""What happens to a call between its request and its answer, apart from HTTP's routes.

A call is admitted, its body received, its picture decoded, detected in a batch with those of other
callers, and drawn or written as JSON. Bodies wait encoded: decoded pictures are many times larger,
so no more of them are in memory than keep the detector busy.
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dmaskrcnn.detections import Detections
from dmaskrcnn.detector.predictor import Predictor
from dmaskrcnn.draw import JPEG
from dmaskrcnn.errors import first_line
from dmaskrcnn.haze.gauge import haziness
from dmaskrcnn.haze.switch import HazeSwitch
from dmaskrcnn.serve.batches import Batches
from dmaskrcnn.serve.limits import Limits, RefusedError
from dmaskrcnn.serve.metrics import ServiceMetrics
from dmaskrcnn.serve.uploads import Options, decode_upload, drop_rest, read_body, read_call

if TYPE_CHECKING:
    from torch import Tensor

RETRY_AFTER = "1"  # seconds: a queue is shorter by then
MOST_SOURCES = 1000  # whose state is remembered; the one not heard of for longest is forgotten
WORKERS = 2  # threads that decode, draw and write, as many as `predict` has for each
Result = TypeVar("Result")
LOG = logging.getLogger("dmaskrcnn.serve")


@dataclass(frozen=True)
class ClearAir:
    """A second choice for frames without haze.

    Attributes:
        run: the name of the run for clear air.
        switch: its thresholds; each source of frames gets a copy.
    """

    run: str
    switch: HazeSwitch


class Service:
    """Detectors behind one queue.

    Args:
        runs: detectors by name; the first is used where a call names none.
        limits: of bytes, pixels, queue and time.
        clear: chooses between its run and the first one, where a call names none.
    """

    def __init__(
        self, runs: Mapping[str, Predictor], limits: Limits, clear: ClearAir | None = None
    ):
        self.runs, self.limits, self.clear = dict(runs), limits, clear
        self.calls, self.bytes_held = 0, 0
        self.metrics = ServiceMetrics(lambda: self.calls)
        self._batches = Batches(limits.batch_size, self.metrics.batch.observe)
        # one batch at work, one waiting, one being drawn
        self._decoded = asyncio.Semaphore(3 * limits.batch_size)
        self._threads = ThreadPoolExecutor(WORKERS, "pictures")
        self._switches: OrderedDict[str, HazeSwitch] = OrderedDict()

    def close(self) -> None:
        """Answer what was taken, then end the threads."""
        self._batches.close()
        self._threads.shutdown()

    async def answer(self, request: Request) -> Response:
        """The response to a call of ``POST /predict``; errors are JSON with one line."""
        begun = time.monotonic()
        try:
            with self._admitted():
                response = await self._answer(request, begun)
        except RefusedError as refused:
            if refused.status != 408:  # that one has had its time
                await drop_rest(request)
            response = refusal(refused.status, refused.reason)
        except Exception as error:  # ours, or no memory left: the service goes on
            LOG.exception("a call failed")
            response = refusal(500, f"the detector failed ({type(error).__name__})")
        self.metrics.calls.labels(response.status_code).inc()
        self.metrics.seconds.observe(time.monotonic() - begun)
        return response

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self.calls >= self.limits.queue:
            raise RefusedError(503, f"{self.calls} calls are waiting; try again later")
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    async def _answer(self, request: Request, begun: float) -> Response:
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            if self.bytes_held + count > self.limits.most_bytes_held:
                raise RefusedError(503, "too much is waiting; try again later")
            held += count
            self.bytes_held += count

        try:
            late = RefusedError(408, f"the body did not arrive within {self.limits.timeout:g} s")
            body = await self._in_time(read_body(request, self.limits, hold), begun, late)
            late = RefusedError(504, f"no answer within {self.limits.timeout:g} s; try again later")
            data, options = await self._in_time(read_call(request, body), begun, late)
            del body
            return await self._in_time(self._detect(data, self._checked(options)), begun, late)
        finally:
            self.bytes_held -= held

    async def _in_time(self, work: Awaitable[Result], begun: float, late: RefusedError) -> Result:
        left = begun + self.limits.timeout - time.monotonic()
        try:
            return await asyncio.wait_for(work, max(left, 0.001))
        except (asyncio.TimeoutError, TimeoutError):
            raise late from None

    def _checked(self, options: Options) -> Options:
        if options.run is not None and options.run not in self.runs:
            names = ", ".join(self.runs)
            raise RefusedError(422, f"run: there is no {options.run[:80]!r}; choose from {names}")
        if options.threshold is None:
            options = replace(options, threshold=self.limits.threshold)
        return options

    async def _detect(self, data: bytes, options: Options) -> Response:
        """Once it is the call's turn: decode, detect, draw."""

        def decode() -> tuple[Tensor, float]:
            image = decode_upload(data, self.limits)
            return image, haziness(image)

        loop = asyncio.get_running_loop()
        async with self._decoded:
            image, haze = await loop.run_in_executor(self._threads, decode)
            run = options.run or self._suited(options.source, haze)
            threshold = options.threshold or 0.0
            answer = self._batches.submit(self.runs[run], image, threshold)
            found = await asyncio.wrap_future(answer)
            self.metrics.haze.observe(haze)
            self.metrics.pictures.labels(run).inc()
            self.metrics.objects.labels(run).inc(len(found))
            said = {"run": run, "threshold": threshold, "haze": round(haze, 3)}
            write = partial(_response, image, found, options, said)
            return await loop.run_in_executor(self._threads, write)

    def _suited(self, source: str, haze: float) -> str:
        """The run for a frame of this haze, after those that came before from its source."""
        first = next(iter(self.runs))
        if self.clear is None:
            return first
        switch = self._switches.pop(source, None) or replace(self.clear.switch)
        self._switches[source] = switch  # at the end: heard of last
        if len(self._switches) > MOST_SOURCES:
            self._switches.popitem(last=False)
        return first if switch.update(haze) else self.clear.run


def refusal(status: int, reason: str) -> JSONResponse:
    """An error as the service tells it."""
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    return JSONResponse({"error": first_line(Exception(reason))}, status, headers)


def _response(image: Tensor, found: Detections, options: Options, said: dict[str, Any]) -> Response:
    """The answer, in the form that was asked for."""
    picture = b""
    if options.answer != "json":
        encoded = io.BytesIO()
        found.draw(image).save(encoded, "JPEG", **JPEG)
        picture = encoded.getvalue()
    if options.answer == "picture":
        headers = {"X-Run": ascii(said["run"])[1:-1], "X-Haze": str(said["haze"])}
        return Response(picture, media_type="image/jpeg", headers=headers)
    content = {**said, **found.to_dict()}
    if not options.masks:
        for one in content["detections"]:
            del one["mask"]
    if picture:
        content["picture"] = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return JSONResponse(content)

"""What the service takes, and what it tells those whose calls it does not take."""

from __future__ import annotations

from dataclasses import dataclass

from dmaskrcnn.errors import UserError
from dmaskrcnn.fields import check_above_zero, check_share


class RefusedError(Exception):
    """A call that is answered with a status of 4xx or 5xx.

    Attributes:
        status: the HTTP status code.
        reason: one line for the caller.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, " ".join(reason.split())


@dataclass(frozen=True)
class Limits:
    """Of one service. The field names are flags of `dmaskrcnn serve`.

    Attributes:
        max_upload: megabytes of a call's body.
        max_pixels: megapixels of a picture.
        queue: calls that are being received, waiting or worked on; further ones are refused.
        timeout: seconds from the beginning of a call to its answer.
        batch_size: pictures per forward pass.
        threshold: lowest score of an object where a call does not say.

    Raises:
        UserError: a limit that is not above 0, a threshold outside [0, 1].
    """

    max_upload: float = 20.0
    max_pixels: float = 40.0
    queue: int = 256
    timeout: float = 30.0
    batch_size: int = 4
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_above_zero(self, "max_upload", "max_pixels", "queue", "timeout", "batch_size")
        check_share(self, "threshold")
        if not self.max_upload <= 1000:
            raise UserError(f"--max-upload must be at most 1000 megabytes, got {self.max_upload:g}")

    @property
    def most_bytes(self) -> int:
        """Of a body."""
        return int(self.max_upload * 1e6)

    @property
    def most_bytes_held(self) -> int:
        """Of all bodies together: what a queue full of usual photographs (4 MB) takes, and at least
        four of the largest bodies."""
        return max(4 * self.most_bytes, self.queue * min(self.most_bytes, 4_000_000))

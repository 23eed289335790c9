"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # of Prometheus' text format
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServiceMetrics:
    """Counters of one service, in a registry of their own.

    Args:
        in_flight: gives the number of calls that are being received, waiting or worked on.
    """

    def __init__(self, in_flight: Callable[[], int]):
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time, open files
        self.calls = Counter("dmaskrcnn_calls", "Calls of /predict.", ["status"], registry=registry)
        self.pictures = Counter(
            "dmaskrcnn_pictures", "Pictures that were answered.", ["run"], registry=registry
        )
        self.objects = Counter(
            "dmaskrcnn_objects", "Objects that were found.", ["run"], registry=registry
        )
        self.seconds = Histogram(
            "dmaskrcnn_call_seconds",
            "Time from the beginning of a call to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "dmaskrcnn_batch_pictures",
            "Pictures per forward pass.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.haze = Histogram(
            "dmaskrcnn_haze",
            "Haze of the pictures, 0 to 1.",
            buckets=[tenth / 10 for tenth in range(1, 11)],
            registry=registry,
        )
        Gauge(
            "dmaskrcnn_calls_in_flight",
            "Calls that are being received, waiting or worked on.",
            registry=registry,
        ).set_function(in_flight)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)

"""The batches of a training, from processes that load and augment images while it computes."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping

import torch

from dmaskrcnn.config.schedule import Phase
from dmaskrcnn.config.train import TrainConfig
from dmaskrcnn.data import Batch, Dataset, batch_loader
from dmaskrcnn.errors import UserError, first_line
from dmaskrcnn.training.inputs import loading_processes, make_batches
from dmaskrcnn.training.progress import StopSignal


class Feed:
    """Batches of the current phase. Its loading processes end with it, or with `close`."""

    def __init__(
        self,
        config: TrainConfig,
        source: Dataset,
        target: Dataset | None,
        device: torch.device,
        gone: Mapping[str, Collection[int]],
    ) -> None:
        """``gone``: see `Batches`."""
        self.config, self.source, self.target, self.device = config, source, target, device
        self.gone = gone
        self.loader: Generator[Batch, None, None] | None = None
        self.with_target = False

    def take(self, phase: Phase, iteration: int, stop: StopSignal) -> list[Batch]:
        """The batches of one step, one per accumulation step; none where ``stop`` came and took the
        loading processes along."""
        if self.loader is None or phase.target != self.with_target:
            self.close()
            self.loader, self.with_target = self._load(phase, iteration), phase.target
        try:
            return [next(self.loader) for _ in range(self.config.accumulate)]
        except (RuntimeError, EOFError, ConnectionError) as error:
            # A terminal, systemd and queues send the signal to all our processes: one may die
            # while it hands over a batch.
            if stop.signal:
                return []
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise UserError(
                f"a process that loads images died ({first_line(error)}); if memory ran "
                "out, lower --workers or --batch"
            ) from error

    def close(self) -> None:
        """End the loading processes."""
        if self.loader is not None:
            self.loader.close()

    def _load(self, phase: Phase, iteration: int) -> Generator[Batch, None, None]:
        target = self.target if phase.target else None
        batches = make_batches(self.config, self.source, target, self.gone)
        first = iteration * self.config.accumulate
        workers = loading_processes(self.config, self.device)
        return batch_loader(batches, first, None, workers, device=self.device)

"""Ends its own process, as a power cut would: named by the configurations of the kill test."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_badge.oracle import DatasetOracle


def kill_once(mark: str) -> None:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class KillInTraining(Callback):
    """Kills in the middle of the training of a round."""

    def __init__(self, mark: str, is_round: bool) -> None:
        self.mark = mark
        self.is_round = is_round

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if self.is_round and trainer.global_step == 7:
            kill_once(self.mark)


class KillingOracle(DatasetOracle):
    """Kills when it is asked for the next answer: the loop has committed those before."""

    mark = ""

    def answer(self, sample_ids: Iterable[Any]) -> Iterator[Any]:
        for number, pair in enumerate(super().answer(sample_ids)):
            if number == 9:
                kill_once(self.mark)
            yield pair

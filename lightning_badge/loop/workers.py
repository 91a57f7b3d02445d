"""Several processes train a round: rank zero runs the loop, the others train along.

Rank zero owns the label store, the labelers and the run directory. Before each training it tells
the others what the round begins with. Between two rounds they wait, however long people label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch.distributed import ProcessGroup

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.sample_sets import LabeledState
from lightning_badge.peers import Peers

# Labelers may take weeks. A process that dies is noticed at once, because its connections close.
LONGEST_WAIT = timedelta(days=365)


@dataclass(frozen=True)
class RoundStart:
    """What a round begins with.

    Attributes:
        round: The round number.
        labeled: Labeled and discarded samples.
        class_names: Names of the classes, which answers may have added.
    """

    round: int
    labeled: LabeledState
    class_names: tuple[str, ...] | None


class Workers:
    """The processes of a run, seen from one of them.

    Args:
        peers: The processes; alone, this one.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    @classmethod
    def of_group(cls) -> Workers:
        """Builds the workers from the initialized process group, by a group that waits longer."""
        group: ProcessGroup = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
        return cls(Peers(group))

    @property
    def is_first(self) -> bool:
        """Whether this process is rank zero, which runs the loop."""
        return self._peers.rank == 0

    def begin(self, round: int, datamodule: ActiveLearningDataModule) -> None:
        """Tells the other processes what the round begins with; rank zero calls it."""
        names = datamodule.class_names
        classes = None if names is None else tuple(names)
        self._peers.share(RoundStart(round, datamodule.labeled_state(), classes))

    def end(self) -> None:
        """Tells the other processes that no round follows; rank zero calls it.

        The process group ends: metrics that are computed later must not wait for the others.
        """
        self._peers.share(None)
        self._leave()

    def train_along(
        self, datamodule: ActiveLearningDataModule, train: Callable[[int], object]
    ) -> None:
        """Trains each round that rank zero begins, until no round follows.

        Args:
            datamodule: Gets the labels and classes of the round.
            train: Trains a round, given its number.
        """
        while (start := self._next()) is not None:
            datamodule.class_names = start.class_names
            datamodule.restore(start.labeled)
            train(start.round)
        self._leave()

    def _leave(self) -> None:
        if self._peers.size > 1:
            torch.distributed.destroy_process_group()

    def _next(self) -> RoundStart | None:
        nothing: RoundStart | None = None
        return self._peers.share(nothing)

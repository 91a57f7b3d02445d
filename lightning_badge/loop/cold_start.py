"""A round without a model: orders the pool while nothing is labeled."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.loop.train_round import round_seed
from lightning_badge.ordering import order
from lightning_badge.ordering_file import write_ordering

# What `cold_start=` may be: the strategy that orders the embedding, and what it does in words.
COLD_STARTS = {
    "kmeans_pp": ("kmeans_pp_penultimate", "k-means++ over the samples themselves"),
    "k_center": ("coreset", "k-center over the samples themselves"),
    "maxherding": ("maxherding", "greedy coverage of the pool (maxherding)"),
    "random": ("random", "a random order"),
}
_log = logging.getLogger(__name__)


@runtime_checkable
class ColdStart(Protocol):
    """Data that can be ordered without a model."""

    def cold_start(self) -> GradientEmbedding:
        """Returns an embedding of the pool."""
        ...


def check_cold_start(name: str) -> str:
    """Returns the name of a cold start, or raises a MisconfigurationException with all names."""
    if name in COLD_STARTS:
        return name
    raise MisconfigurationException(
        f"cold_start: expected one of {', '.join(COLD_STARTS)}, got {name!r}"
    )


def order_cold(
    round: int, *, datamodule: ColdStart, name: str, path: Path, seed: int
) -> RoundReport:
    """Orders a pool without a model and writes the ordering.

    Args:
        round: The round number.
        datamodule: Embeds its pool.
        name: One of `COLD_STARTS`.
        path: Path of the ordering file.
        seed: Seeds the ordering, together with the round.

    Returns:
        The report of a round without labels and metrics.
    """
    started = time.perf_counter()
    strategy, words = COLD_STARTS[name]
    embedding = datamodule.cold_start()
    ordering = order(embedding, strategy, seed=round_seed(seed, round))
    metadata = {**ordering.metadata, "round": round, "cold_start": name}
    write_ordering(replace(ordering, metadata=metadata), path)
    _log.info("round %03d: no labels yet; ranked by %s (cold_start=%s)", round, words, name)
    seconds = float(f"{time.perf_counter() - started:.3f}")
    return RoundReport(round=round, labeled=0, pool=len(embedding), seconds=seconds)

"""BADGE active learning for PyTorch Lightning: orders the whole pool, for batches of any size."""

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture.head import find_head
from lightning_badge.capture.pool import capture_pool
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError
from lightning_badge.labels import SKIP
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.budget import (
    Budget,
    CoverageBudget,
    FixedBudget,
    ScheduleBudget,
    VariableBudget,
)
from lightning_badge.oracle import DatasetOracle, Oracle
from lightning_badge.ordering import (
    STRATEGIES,
    LazyOrdering,
    OneShotSelector,
    Ordering,
    Selector,
    kmeans_pp,
    measure_coverage,
    order,
    strategy,
)
from lightning_badge.ordering_file import read_ordering, write_ordering
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

__all__ = [
    "SKIP",
    "STRATEGIES",
    "ActiveLearningDataModule",
    "ActiveLearningLoop",
    "BadgeCallback",
    "BadgeError",
    "Budget",
    "CoverageBudget",
    "DatasetOracle",
    "FixedBudget",
    "GradientEmbedding",
    "LabelStore",
    "LazyOrdering",
    "OneShotSelector",
    "Oracle",
    "Ordering",
    "PoolBatch",
    "RunDirectory",
    "ScheduleBudget",
    "Selector",
    "VariableBudget",
    "capture_pool",
    "find_head",
    "kmeans_pp",
    "measure_coverage",
    "order",
    "read_ordering",
    "strategy",
    "write_ordering",
]

"""One cell of the experiments: labels are asked for in batches until the end of the budget."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from compare.data_sets import Task
from compare.learners import LEARNERS, Learner, score
from compare.plan import PlannedCell
from lightning_badge import VariableBudget, order
from lightning_badge.loop.train_round import round_seed
from lightning_badge.ordering import STRATEGIES

INITIAL, SMALLEST = 20, 10
LOW, HIGH = 5, 200  # of variable batches
# The first batch without any label, where a strategy would need a model: that of data=folder.
COLD = "maxherding"
MODEL_FREE = {
    *("coreset", "kmeans_pp_penultimate", "maxherding", "probcover", "random", "typiclust"),
}
# With fixed features, ranking again after some labels continues the same order.
RANKED_ONCE = {"coreset", "maxherding", "probcover", "random"}
# Arguments that follow a rule on the pool, and the metadata that tell what it chose.
KEPT = {"uherding": "sigma", "maxherding": "sigma", "probcover": "delta"}
# Arguments that may depend on the labels so far and the size of the batch.
SIZED: dict[Any, Callable[[int, int], int]] = {
    "labeled+k": lambda labeled, k: labeled + k,
    "2+log k": lambda _, k: 2 + int(math.log(k)),
}


def run_cell(cell: PlannedCell, task: Task) -> list[dict[str, Any]]:
    """Returns the learning curve of a cell, one row for each model that was trained.

    Equal cells give equal rows, but for the column ``seconds``.
    """
    run = _Run(cell, task)
    while len(run.labeled) < run.end:
        run.ask()
    return run.rows


def end_of(cell: PlannedCell, task: Task) -> int:
    """Returns the number of labels at the end: at most half of the pool."""
    return min(cell.end, len(task.targets) // 2)


def measured_sizes(start: int, end: int) -> list[int]:
    """Returns the numbers of labels at which all runs with one start and end are measured.

    Example:
        >>> measured_sizes(20, 300), measured_sizes(0, 50)
        ([20, 40, 80, 160, 300], [10, 20, 40, 50])
    """
    size = start or SMALLEST
    sizes = []
    while size < end:
        sizes.append(size)
        size *= 2
    return [*sizes, end]


@dataclass
class _Run:
    cell: PlannedCell
    task: Task
    labeled: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    round: int = 0
    coverage: list[float] = field(default_factory=list)
    learner: Learner = field(init=False)

    def __post_init__(self) -> None:
        self.learner = LEARNERS[self.cell.model](self.task)
        self.end = end_of(self.cell, self.task)
        self.started = time.perf_counter()
        self.once: list[int] | None = None
        self.kept: dict[str, Any] = {}
        start = INITIAL if self.cell.start == "random" else 0
        self.sizes = set(measured_sizes(start, self.end))
        drawn = np.random.default_rng([self.cell.seed, 0]).permutation(len(self.task.targets))
        self.labeled = drawn[:start].tolist()
        if self.labeled:
            self.measure(self.labeled)

    def ask(self) -> None:
        """Ranks the pool, labels a batch, and measures at its end and at sizes inside it."""
        before = len(self.labeled)
        k = min(self.batch(), self.end - before)
        picks = self.once_ranked(k) if self.is_ranked_once() else self.rank(k, k)
        self.round += 1
        for size in sorted({*self.sizes, before + k}):
            if before < size <= before + k:
                self.measure(self.labeled + picks[: size - before])
        self.labeled += picks
        self.coverage = []

    def batch(self) -> int:
        """Returns the size of the next batch; a function of seed and round."""
        if self.cell.batches != "variable":
            return int(self.cell.batches)
        budget = VariableBudget(low=LOW, high=HIGH, seed=self.cell.seed)
        remaining = len(self.task.targets) - len(self.labeled)
        return budget.query_size(
            round=self.round, labeled=len(self.labeled), pool=remaining, ordering=()
        )

    def is_ranked_once(self) -> bool:
        """Whether one ordering serves for all batches."""
        return self.cell.model == "linear" and self.cell.strategy in RANKED_ONCE

    def once_ranked(self, k: int) -> list[int]:
        """Returns the next ranks of the ordering that was made at the start."""
        if self.once is None:
            self.once = self.rank(self.end - len(self.labeled), k)
        picks, self.once = self.once[:k], self.once[k:]
        return picks

    def rank(self, length: int, k: int) -> list[int]:
        """Returns the first rows of a new ordering of the pool.

        Args:
            length: Number of rows.
            k: Size of the batch that they are for.
        """
        cell, labeled = self.cell, self.labeled
        is_cold = not labeled and cell.strategy not in MODEL_FREE
        strategy = COLD if is_cold else cell.strategy
        arguments = {} if is_cold else self.arguments(k)
        pool = np.setdiff1d(np.arange(len(self.task.targets)), labeled).tolist()
        seed = round_seed(cell.seed, self.round)
        registered = STRATEGIES[strategy]
        more: dict[str, Any] = {}
        if "labeled" in registered.uses and labeled:
            more["labeled"] = self.learner.embed(self.task.inputs[labeled], labeled)
        if "posterior" in registered.uses:
            more["posterior"] = self.learner.posterior(self.task.inputs[pool], seed)
        embedding = self.learner.embed(self.task.inputs[pool], pool)
        ordering = order(embedding, strategy, k=length, seed=seed, **more, **arguments)
        if not is_cold:
            self.keep(ordering.metadata)
        if ordering.coverage is not None and length == k:
            self.coverage = ordering.coverage.tolist()
        picks: list[int] = ordering.sample_ids.tolist()
        return picks

    def arguments(self, k: int) -> dict[str, Any]:
        """Returns the strategy's arguments for a batch of ``k``."""
        given = {
            name: SIZED[value](len(self.labeled), k) if value in SIZED else value
            for name, value in self.cell.argument_values.items()
        }
        return given | self.kept

    def keep(self, metadata: Mapping[str, Any]) -> None:
        """Keeps a width or radius that followed its rule, where the features are fixed."""
        name = KEPT.get(self.cell.strategy)
        rule = metadata.get(f"{name}_rule")
        if name and self.cell.model == "linear" and rule in ("neighbour", "purity"):
            self.kept = {name: metadata[name]}

    def measure(self, labeled: list[int]) -> None:
        """Trains on the given labels and adds a row."""
        rows = torch.tensor(labeled)
        seed = round_seed(self.cell.seed, 1_000_000 + len(labeled))
        self.learner.fit(self.task.inputs[rows], self.task.targets[rows], seed)
        found, rank = score(self.learner, self.task), len(labeled) - len(self.labeled) - 1
        self.rows.append(
            {
                "round": self.round,
                "labels": len(labeled),
                "accuracy": found.accuracy,
                "balanced_accuracy": found.balanced_accuracy,
                "coverage": self.coverage[rank] if self.coverage else math.nan,
                "seconds": round(time.perf_counter() - self.started, 3),
            }
        )

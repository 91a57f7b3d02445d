"""The cells of an experiment: every strategy of a setting with every seed."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from compare.learners import LEARNERS
from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import check_strategy

KEYS = {"data", "folder", "model", "start", "batches", "end", "ends", "variants", "known"}
STARTS = ("random", "cold")


@dataclass(frozen=True)
class PlannedCell:
    """A setting, a strategy and a seed.

    Attributes:
        data: Name of the data set.
        model: Name of the model in `LEARNERS`.
        start: ``random`` initial labels, or ``cold``.
        batches: ``variable``, or the size of all batches.
        end: Number of labels at which the run ends, if the pool is large enough.
        strategy: Name of the strategy.
        arguments: Its arguments as JSON; empty for the defaults.
        seed: The seed.
    """

    data: str
    model: str
    start: str
    batches: str
    end: int
    strategy: str
    arguments: str
    seed: int

    @cached_property
    def key(self) -> str:
        """A hexadecimal digest that tells the cell from all others."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def name(self) -> str:
        """What to print."""
        parts = [self.data, self.model, self.start, self.batches, self.strategy]
        return " ".join(
            [*parts, *([self.arguments] if self.arguments else []), f"seed {self.seed}"]
        )

    @property
    def argument_values(self) -> dict[str, Any]:
        """The arguments of the strategy."""
        values: dict[str, Any] = json.loads(self.arguments or "{}")
        return values


def planned_cells(config: DictConfig) -> list[PlannedCell]:
    """Returns the cells of an experiment: all with the first seed come first.

    Raises:
        BadgeError: A key or value of ``plan`` that is not known.
    """
    plan: Any = OmegaConf.to_container(config.plan)
    if unknown := sorted(set(plan) - KEYS):
        raise BadgeError(
            f"plan: expected the keys {', '.join(sorted(KEYS))}, got {', '.join(unknown)}"
        )
    _check_among("plan.model", plan["model"], list(LEARNERS))
    for start in plan["start"]:
        _check_among("plan.start", start, STARTS)
    contestants = list(_contestants(list(config.strategies), plan.get("variants") or []))
    for (strategy, arguments), batches in product(contestants, plan["batches"]):
        check_strategy(strategy, json.loads(arguments or "{}"))
        if batches != "variable" and (not isinstance(batches, int) or batches < 1):
            raise BadgeError(
                f"plan.batches: expected `variable` or numbers above 0, got {batches!r}"
            )
    ends = plan.get("ends") or {}
    return [
        PlannedCell(
            data,
            plan["model"],
            start,
            str(batches),
            ends.get(data, plan["end"]),
            strategy,
            arguments,
            seed,
        )
        for seed in config.seeds
        for data, start, batches in product(plan["data"], plan["start"], plan["batches"])
        for strategy, arguments in contestants
    ]


def _contestants(
    strategies: Sequence[str], variants: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yields strategies with their arguments: the defaults, then the variants."""
    for strategy in strategies:
        yield strategy, ""
    for variant in variants:
        given = dict(variant)
        yield given.pop("strategy"), json.dumps(given, sort_keys=True)


def _check_among(key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BadgeError(f"{key}: expected one of {', '.join(known)}, got {value!r}")

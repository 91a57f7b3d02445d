"""What an ordering is, what a strategy is, and the registry of strategies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids


@dataclass(frozen=True, eq=False)
class Ordering:
    """A pool, or the first part of it, in the order in which labels are worth most.

    Attributes:
        sample_ids: Distinct ids ``[k]``, best first: the place in the list is the rank.
        gains: Value of the strategy's criterion when the row was chosen, ``[k]`` float64; NaN for
            a uniform first draw.
        hallucinated_label: Predicted classes, ``[k]`` int32.
        confidence: Probabilities of the predicted classes, ``[k]`` float32.
        coverage: Share of the pool's scatter explained up to this rank, ``[k]`` float32.
        metadata: How the ordering came about: plain JSON values.
    """

    sample_ids: SampleIds
    gains: npt.NDArray[np.float64] | None = None
    hallucinated_label: npt.NDArray[np.int32] | None = None
    confidence: npt.NDArray[np.float32] | None = None
    coverage: npt.NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_ids", as_sample_ids(self.sample_ids, error=OrderingError))
        for name, values in self.columns().items():
            if len(values) != len(self):
                raise OrderingError(
                    f"{name}: expected one value per sample id, {len(self)}, got {len(values)}"
                )

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __iter__(self) -> Iterator[SampleId]:
        return iter(self.sample_ids.tolist())

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the columns beside ``sample_ids`` that this ordering has, by name."""
        names = ("gains", "hallucinated_label", "confidence", "coverage")
        return {name: values for name in names if (values := getattr(self, name)) is not None}

    def take(self, k: int) -> Ordering:
        """Returns the first ``k`` ranks."""
        if k < 0:
            raise OrderingError(f"k: expected 0 or more ranks, got {k}")
        prefix: dict[str, Any] = {name: values[:k] for name, values in self.columns().items()}
        return replace(self, sample_ids=self.sample_ids[:k], **prefix)


class Picks(NamedTuple):
    """What a strategy answers.

    Attributes:
        positions: Rows of the embedding, best first, ``[k]`` int64.
        gains: Criterion at each of them, ``[k]`` float64; NaN for none.
    """

    positions: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]


class Strategy(Protocol):
    """A rule that produces an ordering: ``strategy(embedding, k, seed=..., **own_arguments)``.

    It answers with ``k`` distinct rows, ``1 <= k <= n``, as a function of its arguments alone,
    and obeys the prefix law: a larger ``k`` never changes earlier ranks.
    """

    def __call__(
        self, embedding: GradientEmbedding, k: int, *, seed: int, backend: str, **arguments: Any
    ) -> Picks:
        """Returns the first ``k`` ranks."""


class Registered(NamedTuple):
    """A strategy in the registry.

    Attributes:
        rule: The function.
        needs: What it needs beside the pool's embedding: ``labeled``, ``posterior``.
        arguments: Names of the arguments of its own.
    """

    rule: Callable[..., Picks]
    needs: frozenset[str]
    arguments: frozenset[str]


STRATEGIES: dict[str, Registered] = {}

_COMMON = frozenset({"embedding", "k", "seed", "backend", "labeled", "posterior"})


def strategy(
    name: str, *, needs: frozenset[str] = frozenset()
) -> Callable[[Callable[..., Picks]], Callable[..., Picks]]:
    """Enters a function into the registry of strategies under ``name``."""

    def register(rule: Callable[..., Picks]) -> Callable[..., Picks]:
        arguments = frozenset(inspect.signature(rule).parameters) - _COMMON
        STRATEGIES[name] = Registered(rule, needs, arguments)
        return rule

    return register


def check_strategy(name: str, arguments: Mapping[str, Any] | None = None) -> Registered:
    """Returns the strategy called ``name``.

    Raises:
        OrderingError: No such strategy, or it does not take one of ``arguments``.
    """
    if name not in STRATEGIES:
        raise OrderingError(
            f"strategy: expected one of {', '.join(sorted(STRATEGIES))}, got {name!r}"
        )
    registered = STRATEGIES[name]
    if unknown := sorted(set(arguments or ()) - registered.arguments):
        takes = ", ".join(sorted(registered.arguments)) or "no arguments of its own"
        raise OrderingError(f"strategy {name!r} takes {takes}; got {', '.join(unknown)}")
    return registered


def strategy_arguments(name: str) -> frozenset[str]:
    """Returns the names of the arguments that a strategy takes of its own."""
    return check_strategy(name).arguments

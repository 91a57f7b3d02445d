"""The estimated duration against what orderings cost: a clock that counts their operations."""

from typing import Any

import pytest
import torch

from lightning_badge.callback import duration
from lightning_badge.callback.duration import estimate_duration
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering

N = 6000


class Clock:
    """Stands in for the time module; goes on by what is added."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(duration, "time", clock)
    return clock


@pytest.fixture(scope="module")
def pool() -> GradientEmbedding:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(10, 12, generator=generator)
    classes = torch.randint(10, (N,), generator=generator)
    hidden = (centers[classes] + torch.randn(N, 12, generator=generator)).relu()
    weight = torch.randn(12, 10, generator=generator) * 0.3
    return GradientEmbedding.from_logits(hidden, hidden @ weight)


@pytest.mark.parametrize("strategy", ["badge", "coreset", "kmeans_pp_penultimate"])
@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_orderings_of_every_kind_take_what_their_operations_say(
    clock: Clock, pool: GradientEmbedding, strategy: str, backend: str, share: float
) -> None:
    if backend == "numba":
        pytest.importorskip("numba")

    def run_first(ranks: int) -> None:
        ordering = LazyOrdering(pool, strategy, backend=backend)
        ordering.take(ranks)
        clock.now += ordering.counters.pairs / N

    ranks = int(share * N)
    estimated = estimate_duration(run_first, ranks, N).total_seconds()
    before = clock.now
    run_first(ranks)
    took = clock.now - before
    # Block sizes and rejected candidates change the cost of a rank along the ordering.
    assert took / 2.5 < estimated < took * 2.5


def test_what_runs_before_the_first_rank_is_counted_once(clock: Clock) -> None:
    def run_first(ranks: int) -> None:
        clock.now += 10.0 + 0.5 * ranks * (1 - ranks / 20_000)

    assert estimate_duration(run_first, 4000, 10_000).total_seconds() == 10 + 0.5 * 4000 * 0.8


def test_a_compiler_that_runs_once_is_not_counted(clock: Clock) -> None:
    calls: list[int] = []

    def run_first(ranks: int) -> None:
        clock.now += (60.0 if not calls else 0.0) + 0.1 * ranks
        calls.append(ranks)

    estimated = estimate_duration(run_first, 1_000_000, 10**9).total_seconds()
    assert estimated == pytest.approx(100_000, rel=1e-3)
    assert calls == [8, 32, 128, 512]


def test_a_fast_ordering_is_timed_on_more_ranks(clock: Clock) -> None:
    calls: list[int] = []

    def run_first(ranks: int) -> None:
        clock.now += 1e-6 * ranks
        calls.append(ranks)

    estimate_duration(run_first, 10**6, 10**9)
    assert calls == [8, 32, 128, 512, 2048]


@pytest.mark.parametrize("ranks", [1, 8, 100])
def test_few_ranks_are_timed_as_a_whole(clock: Clock, ranks: int) -> None:
    def run_first(ranks: int) -> Any:
        clock.now += 2.0 * ranks

    assert estimate_duration(run_first, ranks, 10**6).total_seconds() == 2.0 * ranks


def test_time_that_does_not_grow_is_the_estimate(clock: Clock) -> None:
    def run_first(ranks: int) -> None:
        clock.now += 3.0 if ranks < 512 else 2.0

    assert estimate_duration(run_first, 10**6, 10**6).total_seconds() <= 4.0

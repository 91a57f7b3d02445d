"""Accuracy and cost on pools that are numerically difficult."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering, order

BACKENDS = ["torch", "numba"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_come_after_all_originals(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(2_000, 64, generator=generator).relu()
    logits = 3 * torch.randn(2_000, 10, generator=generator)
    doubled = GradientEmbedding.from_logits(activations.repeat(2, 1), logits.repeat(2, 1))
    ordering = order(doubled, seed=1, backend=backend)
    assert len(np.unique(ordering.sample_ids[:2_000] % 2_000)) == 2_000
    assert (ordering.gains[1:2_000] > 0).all()
    assert (ordering.gains[2_000:] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_gains_over_twelve_decades_are_accurate(backend: str) -> None:
    scale = torch.logspace(-6, 0, 400)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(400, 8, generator=generator) * scale[:, None]
    ordering = order(GradientEmbedding.from_dense(rows), seed=2, backend=backend)
    assert (ordering.gains[1:] > 0).all()
    assert ordering.gains[1:].max() / ordering.gains[1:].min() > 1e11
    dense = rows.double()[torch.from_numpy(ordering.sample_ids)]
    distances = torch.cdist(dense, dense, compute_mode="donot_use_mm_for_euclid_dist").square()
    for rank in range(1, 400):
        assert ordering.gains[rank] == pytest.approx(float(distances[rank, :rank].min()), rel=1e-3)


def tight_clusters(n: int, noise: float) -> GradientEmbedding:
    """Returns ten classes, each a point with a little noise, as late in training."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 10, (n,), generator=generator)
    means = torch.randn(10, 256, generator=generator).relu()
    activations = means[label] + noise * torch.randn(n, 256, generator=generator)
    logits = 6.0 * torch.eye(10)[label] + noise * torch.randn(n, 10, generator=generator)
    return GradientEmbedding.from_logits(activations.relu(), logits)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_tight_clusters_cost_less_than_four_times_the_products_of_a_loose_pool(
    backend: str,
) -> None:
    costs = []
    for pool in (tight_clusters(4_000, 1e-2), tight_clusters(4_000, 1.0)):
        lazy = LazyOrdering(pool, backend=backend)
        assert len(lazy.take()) == 4_000
        costs.append(lazy.counters.multiplied)
    assert costs[0] < 4 * costs[1]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1e-2, 1e-5])
def test_tight_clusters_gather_few_rows_pair_by_pair(
    noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_badge.kernels import pairwise

    gathered = 0
    original = pairwise.difference_form

    def counting(left: object, right: object) -> torch.Tensor:
        nonlocal gathered
        assert len(left) <= pairwise.PAIRS
        gathered += len(left)
        return original(left, right)

    monkeypatch.setattr(pairwise, "difference_form", counting)
    order(tight_clusters(4_000, noise), backend="torch")
    assert gathered < 100 * 4_000


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_many_classes(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pool = GradientEmbedding.from_logits(
        torch.randn(600, 300, generator=generator), torch.randn(600, 1000, generator=generator)
    )
    assert sorted(order(pool, backend=backend)) == list(range(600))


# The first pool is for what compiles; its memory and that of compilers is given back before the
# peak is reset. The peak of `resource` would begin with that of the process that started this one.
MEMORY = """
import ctypes, gc, re, sys, torch
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering
h, c = 128, 10
generator = torch.Generator().manual_seed(0)
def pool_of(n):
    activations = torch.randn(n, h, generator=generator).relu_()
    return GradientEmbedding.from_logits(activations, torch.randn(n, c, generator=generator))
LazyOrdering(pool_of(20_000), backend=sys.argv[1]).take(1500)
n = 100_000
pool = pool_of(n)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
before = peak()
LazyOrdering(pool, backend=sys.argv[1]).take(1500)
print(peak() - before, n * (h + c) * 4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("torch", marks=pytest.mark.long), "numba"])
def test_an_ordering_needs_at_most_about_one_copy_of_the_factors(backend: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    command = [sys.executable, "-c", MEMORY, backend]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, factors = map(int, done.stdout.split())
    assert grown < factors

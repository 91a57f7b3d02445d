"""What orderings are measured against: each peer's way to order, reduced to its time.

Peers that are other projects are called as they are published; the loops are frozen here, so that
figures of different days have the same denominator.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge import GradientEmbedding
from lightning_badge.kernels import Work
from lightning_badge.kernels.torch_blocked import TorchBackend
from lightning_badge.ordering import LazyOrdering
from lightning_badge.ordering.distance_selector import gradients
from lightning_badge.ordering.strategies.kmeans_pp import KMeansPP


def ours(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` by the engine, with what is installed."""
    lazy = LazyOrdering(pool)
    lazy.take(k)
    return lazy


def ours_in_torch(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` by the engine without numba."""
    lazy = LazyOrdering(pool, backend="torch")
    lazy.take(k)
    return lazy


class Unpruned(TorchBackend):
    """Multiplies every pair."""

    def update(self, *arguments: Any, **options: Any) -> Work:
        """As torch's, without looking for pairs that cannot matter."""
        return super().update(*arguments, **{**options, "prune": False})


def ours_unpruned(pool: GradientEmbedding, k: int) -> KMeansPP:
    """Orders the first ``k`` by our own blocks, every pair multiplied."""
    selector = KMeansPP(pool, gradients, seed=0, backend=Unpruned())
    selector.take(k)
    assert selector.counters.multiplied == selector.counters.pairs
    return selector


def ours_k_center(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` by k-center greedy over the activations."""
    lazy = LazyOrdering(pool, "coreset")
    lazy.take(k)
    return lazy


def factored_loop(pool: GradientEmbedding, k: int) -> None:
    """k-means++ one center at a time: factored float32 distances in torch."""
    a, h = pool.logit_grad, pool.penultimate
    norms = (a * a).sum(1) * (h * h).sum(1)
    generator = torch.Generator().manual_seed(0)
    center = 0
    nearest = torch.full_like(norms, torch.inf)
    for _ in range(k - 1):
        sq_dist = norms + norms[center] - 2 * (a @ a[center]) * (h @ h[center])
        nearest = torch.minimum(nearest, sq_dist.clamp_(min=0))
        nearest[center] = 0
        mass = nearest.double().cumsum(0)
        uniform = torch.rand((), generator=generator, dtype=torch.float64)
        center = min(int(torch.searchsorted(mass, uniform * mass[-1], right=True)), len(a) - 1)


def k_center_loop(pool: GradientEmbedding, k: int) -> None:
    """k-center one center at a time: float32 distances in torch."""
    h = pool.penultimate
    norms = (h * h).sum(1)
    nearest = torch.full_like(norms, torch.inf)
    center = 0
    for _ in range(k - 1):
        sq_dist = norms + norms[center] - 2 * (h @ h[center])
        nearest = torch.minimum(nearest, sq_dist)
        center = int(nearest.argmax())


def dense_loop(pool: GradientEmbedding, k: int) -> None:
    """The post's way: dense embeddings, the difference to one center at a time."""
    rows = dense(pool)
    generator = torch.Generator().manual_seed(0)
    nearest = rows.new_full((len(rows),), torch.inf)
    center = 0
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (rows - rows[center]).square().sum(1))
        nearest[center] = 0
        mass = nearest.cumsum(0)
        uniform = torch.rand((), generator=generator)
        center = min(int(torch.searchsorted(mass, uniform * mass[-1], right=True)), len(rows) - 1)


def sklearn_one_trial(pool: GradientEmbedding, k: int) -> None:
    """``sklearn.cluster.kmeans_plusplus`` with one local trial: the same law."""
    from sklearn.cluster import kmeans_plusplus

    kmeans_plusplus(dense(pool).cpu().numpy(), k, random_state=0, n_local_trials=1)


def sklearn_default(pool: GradientEmbedding, k: int) -> None:
    """``sklearn.cluster.kmeans_plusplus`` as it comes: its greedy variant."""
    from sklearn.cluster import kmeans_plusplus

    kmeans_plusplus(dense(pool).cpu().numpy(), k, random_state=0)


def skactiveml_core_set(pool: GradientEmbedding, k: int) -> None:
    """scikit-activeml's ``CoreSet`` over the activations."""
    from skactiveml.pool import CoreSet

    rows = pool.penultimate.cpu().numpy()
    CoreSet(random_state=0).query(rows, np.full(len(rows), np.nan), batch_size=k)


def skactiveml_badge(pool: GradientEmbedding, k: int) -> None:
    """scikit-activeml's ``Badge``, given the pool's activations and class probabilities."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    # logit_grad is softmax - one_hot, and only the hallucinated label's entry is negative.
    grad = pool.logit_grad.cpu().numpy()
    probabilities: npt.NDArray[np.float32] = grad + (grad == grad.min(axis=1, keepdims=True))

    class Known(SkactivemlClassifier):  # type: ignore[misc]
        """A classifier whose predictions for the pool are known."""

        def fit(self, *_: object) -> "Known":
            """Learns nothing."""
            return self

        def predict_proba(self, _: object) -> npt.NDArray[np.float32]:
            """Returns what the pool's embeddings were made from."""
            return probabilities

    rows = pool.penultimate.cpu().numpy()
    known = Known(classes=list(range(grad.shape[1])))
    unlabeled = np.full(len(rows), np.nan)
    Badge(random_state=0).query(rows, unlabeled, known, fit_clf=False, batch_size=k)


@lru_cache(maxsize=1)
def dense(pool: GradientEmbedding) -> Tensor:
    """Returns the dense embeddings, made once for each pool."""
    return pool.dense()

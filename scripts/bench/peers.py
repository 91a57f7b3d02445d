"""The contestants of the benchmark: our orderings and implementations to compare with.

Other projects are called as published. The loops in this module never change, so that ratios
measured at different times have the same denominator.
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
    """Orders the first ``k`` rows with the fastest installed back end."""
    lazy = LazyOrdering(pool)
    lazy.take(k)
    return lazy


def ours_in_torch(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` rows with the torch back end."""
    lazy = LazyOrdering(pool, backend="torch")
    lazy.take(k)
    return lazy


class Unpruned(TorchBackend):
    """The torch back end without pruning: every pair is multiplied."""

    def update(self, *arguments: Any, **options: Any) -> Work:
        """Updates as `TorchBackend` does, without pruning."""
        return super().update(*arguments, **{**options, "prune": False})


def ours_unpruned(pool: GradientEmbedding, k: int) -> KMeansPP:
    """Orders the first ``k`` rows with our blocks, multiplying every pair."""
    selector = KMeansPP(pool, gradients, seed=0, backend=Unpruned())
    selector.take(k)
    assert selector.counters.multiplied == selector.counters.pairs
    return selector


def ours_k_center(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` rows by k-center greedy over the activations."""
    lazy = LazyOrdering(pool, "coreset")
    lazy.take(k)
    return lazy


def ours_maxherding(pool: GradientEmbedding, k: int, **options: Any) -> LazyOrdering:
    """Orders the first ``k`` rows by MaxHerding over the activations."""
    lazy = LazyOrdering(pool, "maxherding", **options)
    lazy.take(k)
    return lazy


def maxherding_in_torch(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """The same with the torch back end."""
    return ours_maxherding(pool, k, backend="torch")


def maxherding_summands(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """The same, summed over a sample of 20,000 rows."""
    return ours_maxherding(pool, k, summands=20_000)


def ours_uherding(pool: GradientEmbedding, k: int) -> LazyOrdering:
    """Orders the first ``k`` rows by UHerding over the activations."""
    lazy = LazyOrdering(pool, "uherding")
    lazy.take(k)
    return lazy


def dense_similarity(pool: GradientEmbedding) -> Tensor:
    """Returns MaxHerding's similarities of all pairs in float32, ``[n, n]``."""
    rows = torch.nn.functional.normalize(pool.penultimate, dim=1)
    sigma = LazyOrdering(pool.take(slice(0, 2_000)), "maxherding").take(1).metadata["sigma"]
    similarity = rows @ rows.T
    similarity.mul_(2.0).sub_(2.0).div_(sigma**2).exp_()
    return similarity


def apricot_facility(pool: GradientEmbedding, k: int) -> None:
    """Apricot's facility location over all similarities, lazy greedy."""
    from apricot import FacilityLocationSelection

    similarity = dense_similarity(pool).double().numpy()
    FacilityLocationSelection(k, metric="precomputed", optimizer="lazy").fit(similarity)


def submodlib_facility(pool: GradientEmbedding, k: int) -> None:
    """Submodlib's facility location over all similarities, lazy greedy."""
    from submodlib.functions.facilityLocation import FacilityLocationFunction

    similarity = dense_similarity(pool).numpy()
    function = FacilityLocationFunction(
        n=len(pool), mode="dense", separate_rep=False, sijs=similarity
    )
    function.maximize(budget=k, optimizer="LazyGreedy", show_progress=False)


def herding_loop(pool: GradientEmbedding, k: int) -> None:
    """MaxHerding one pick at a time: float32 similarities of all pairs, all gains anew."""
    similarity = dense_similarity(pool)
    best = torch.zeros(len(similarity))
    for _ in range(k):
        # In blocks: a temporary of all pairs takes longer than the sums.
        gains = [(part - best).clamp_(min=0).sum(dim=1) for part in torch.split(similarity, 256)]
        best = torch.maximum(best, similarity[int(torch.cat(gains).argmax())])


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
    """The post's implementation: dense embeddings, differences to one center at a time."""
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
    """``sklearn.cluster.kmeans_plusplus`` with one local trial: the same distribution."""
    from sklearn.cluster import kmeans_plusplus

    kmeans_plusplus(dense(pool).cpu().numpy(), k, random_state=0, n_local_trials=1)


def sklearn_default(pool: GradientEmbedding, k: int) -> None:
    """``sklearn.cluster.kmeans_plusplus`` with its defaults: the greedy variant."""
    from sklearn.cluster import kmeans_plusplus

    kmeans_plusplus(dense(pool).cpu().numpy(), k, random_state=0)


def skactiveml_core_set(pool: GradientEmbedding, k: int) -> None:
    """scikit-activeml's ``CoreSet`` over the activations."""
    from skactiveml.pool import CoreSet

    rows = pool.penultimate.cpu().numpy()
    CoreSet(random_state=0).query(rows, np.full(len(rows), np.nan), batch_size=k)


def skactiveml_badge(pool: GradientEmbedding, k: int) -> None:
    """scikit-activeml's ``Badge`` with the pool's activations and class probabilities."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    # logit_grad is softmax - one_hot, and only the hallucinated label's entry is negative.
    grad = pool.logit_grad.cpu().numpy()
    probabilities: npt.NDArray[np.float32] = grad + (grad == grad.min(axis=1, keepdims=True))

    class Known(SkactivemlClassifier):  # type: ignore[misc]
        """A classifier whose predictions for the pool are known."""

        def fit(self, *_: object) -> "Known":
            """Returns the classifier unchanged."""
            return self

        def predict_proba(self, _: object) -> npt.NDArray[np.float32]:
            """Returns the probabilities from which the embeddings were computed."""
            return probabilities

    rows = pool.penultimate.cpu().numpy()
    known = Known(classes=list(range(grad.shape[1])))
    unlabeled = np.full(len(rows), np.nan)
    Badge(random_state=0).query(rows, unlabeled, known, fit_clf=False, batch_size=k)


@lru_cache(maxsize=1)
def dense(pool: GradientEmbedding) -> Tensor:
    """Returns the dense embeddings; cached for the last pool."""
    return pool.dense()

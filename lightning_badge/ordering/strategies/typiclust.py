"""TypiClust, arXiv 2202.02794, as an ordering.

The paper chooses the number of clusters by the size of the batch. Here it does not depend on how
many ranks are requested, so a short ordering is the beginning of a long one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.kernels.similarity import GridRows, sq_distances
from lightning_badge.ordering.clusters import (
    BLOCK,
    STEP,
    check_installed,
    find_clusters,
    nearest_cluster,
    on_the_sphere,
)
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import OneShotSelector, Picks, Selector
from lightning_badge.ordering.transfer import to_device

NEIGHBOURS = 20
# Limits of the default number of clusters.
MOST_CLUSTERS, LEAST_ROWS = 500, 20
# Added to the mean distance, as in the authors' code: copies have a typicality, too.
LEAST_DISTANCE = 1e-5


@strategy("typiclust")
def typiclust(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    clusters: int | None = None,
) -> Selector:
    """Picks typical rows of clusters in turn: first where few rows are labeled, largest first.

    k-means finds clusters of the penultimate activations, divided by their norm, of pool and
    labeled set. Each rank is a row of the cluster in which the fewest rows are labeled or chosen;
    of several such clusters, the largest. It is the row of the highest typicality, which is 1 /
    (mean distance to the 20 nearest rows of its cluster) and the gain of its rank. Ties go to the
    lowest row. Needs scikit-learn.

    Args:
        embedding: The pool.
        seed: Seed of k-means.
        backend: Not used.
        labeled: Embedding of the labeled set.
        clusters: Number of clusters; None for twice the number of classes or of labeled rows,
            whichever is larger, but at most 500 and one for 20 rows of the pool. It is chosen when
            the first rank is computed; rows that are added later join the nearest cluster.

    Raises:
        OrderingError: An invalid ``clusters``, or scikit-learn is not installed.
    """
    del backend
    check_installed()
    return TypicalOfClusters(embedding, seed=seed, labeled=labeled, clusters=clusters)


class TypicalOfClusters(OneShotSelector):
    """Typical rows of clusters in turn; for the arguments see `typiclust`."""

    def __init__(
        self,
        embedding: GradientEmbedding,
        *,
        seed: int,
        labeled: GradientEmbedding | None,
        clusters: int | None,
    ) -> None:
        super().__init__(embedding)
        self._seed, self._n_clusters = seed, _check_clusters(clusters)
        self._classes = embedding.logit_grad.shape[1]
        self._rows = on_the_sphere(embedding)
        self._labeled = self._rows.take(slice(0, 0)) if labeled is None else on_the_sphere(labeled)
        self._centers: GridRows | None = None  # until the first rank is needed

    def metadata(self) -> dict[str, Any]:
        """See `Selector.metadata`: the number of clusters."""
        return {"clusters": None if self._centers is None else len(self._centers)}

    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        kept = to_device(np.flatnonzero(~self.members.discarded), self._rows.sq_norm.device)
        if self._centers is None:
            everything = self._rows.take(kept).concatenate(self._labeled)
            number = self._n_clusters or self._default_clusters(len(kept))
            self._centers = find_clusters(everything, number, self._seed)
        of_row = nearest_cluster(self._rows, self._centers)
        of_labeled = nearest_cluster(self._labeled, self._centers)
        typicality = self._typicality(of_row, kept)
        k, cluster = len(self._centers), of_row.cpu().numpy()
        labeled = np.bincount(of_labeled.cpu().numpy(), minlength=k)
        size = labeled + np.bincount(cluster[kept.cpu().numpy()], minlength=k)
        taken = labeled + np.bincount(cluster[self.members.issued], minlength=k)
        order = _in_turn(cluster[remaining], typicality[remaining], taken, size)
        return Picks.of(remaining[order], typicality[remaining[order]])

    def _default_clusters(self, n: int) -> int:
        wanted = 2 * max(self._classes, len(self._labeled))
        return max(1, min(wanted, MOST_CLUSTERS, n // LEAST_ROWS))

    def _typicality(self, cluster: Tensor, kept: Tensor) -> npt.NDArray[np.float64]:
        """Returns the typicality of the rows at ``kept``; 0 for a row alone in its cluster."""
        found = torch.zeros(len(cluster), dtype=torch.float64, device=cluster.device)
        for number in np.unique(cluster[kept].cpu().numpy()).tolist():
            members = kept[cluster[kept] == number]
            rows = self._rows.take(members)
            neighbours = min(NEIGHBOURS, len(members) - 1)
            if not neighbours:
                continue
            for start in range(0, len(members), BLOCK):
                part = slice(start, start + BLOCK)
                sq_distance = sq_distances(rows.take(part), rows)
                # The nearest row is the row itself, or a copy of it.
                nearest = sq_distance.topk(neighbours + 1, largest=False).values[:, 1:]
                mean = nearest.sqrt().mean(dim=1) * STEP
                found[members[part]] = 1.0 / (mean + LEAST_DISTANCE)
        return found.cpu().numpy()

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        self._rows = self._rows.concatenate(on_the_sphere(embedding.take(slice(first, None))))

    def _pool_state(self) -> dict[str, Any]:
        return {"centers": None if self._centers is None else self._centers.coordinates}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        self._centers = None
        if state["centers"] is not None:
            centers = state["centers"].to(self._rows.coordinates.device)
            self._centers = GridRows(centers, centers.double().square().sum(dim=1))


def _in_turn(
    cluster: npt.NDArray[np.int64],
    typicality: npt.NDArray[np.float64],
    taken: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Returns the order of rows in which clusters take turns.

    Args:
        cluster: Of each row, ``[r]``.
        typicality: Of each row, ``[r]``.
        taken: Rows of each cluster that are labeled or chosen.
        size: Rows of each cluster.
    """
    order = np.lexsort((-typicality, cluster))
    first = np.searchsorted(cluster[order], cluster[order])
    # The number of labeled and chosen rows of its cluster when it is a row's turn.
    turn = taken[cluster[order]] + np.arange(len(order)) - first
    return order[np.lexsort((cluster[order], -size[cluster[order]], turn))]


def _check_clusters(clusters: int | None) -> int | None:
    is_count = isinstance(clusters, int) and not isinstance(clusters, bool) and clusters > 0
    if clusters is not None and not is_count:
        raise OrderingError(
            f"clusters: expected a number above 0, or None for the default, got {clusters!r}"
        )
    return clusters

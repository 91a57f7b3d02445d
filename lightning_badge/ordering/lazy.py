"""Orderings that are made as they are asked for, of pools that change meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import resolve_backend
from lightning_badge.ordering.base import Ordering, check_coverage, check_strategy
from lightning_badge.ordering.posterior import check_posterior
from lightning_badge.ordering.walk import Picks, Walk
from lightning_badge.sample_ids import SampleId, as_sample_ids, fingerprint, positions_of


class LazyOrdering:
    """An ordering that hands out its ranks in parts and computes only what they need.

    ``take(10)`` then ``take(20)`` equals ``take(30)``. Between two parts rows may arrive
    (``extend``) and leave (``discard``): ranks that were handed out stand, and what follows has
    the law of the strategy on the new pool given those ranks. A pool that grows before the first
    part gives the ordering that the whole pool would have given.

    Args:
        embedding: The pool.
        strategy: A name in ``STRATEGIES``.
        seed: Of every draw: same seed, same ordering.
        labeled: Embedding of the labeled set, for strategies that need it.
        posterior: Class probabilities under ``s`` posterior samples, ``[n, s, c]``, likewise.
        backend: Who computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        **strategy_args: The strategy's own, such as ``first_center`` of ``badge``.

    Raises:
        OrderingError: An unknown strategy or argument, an unmet need, or a negative seed.

    Example:
        >>> pool = GradientEmbedding.from_logits(torch.ones(5, 2), torch.randn(5, 3))
        >>> lazy = LazyOrdering(pool, seed=1)
        >>> len(lazy.take(2)), len(lazy.take(10))
        (2, 3)
    """

    def __init__(
        self,
        embedding: GradientEmbedding,
        strategy: str = "badge",
        *,
        seed: int = 0,
        labeled: GradientEmbedding | None = None,
        posterior: Tensor | None = None,
        backend: str = "auto",
        **strategy_args: Any,
    ) -> None:
        self._rule = check_strategy(strategy, strategy_args)
        labeled = None if labeled is None else labeled.like(embedding)
        self._labeled = None if labeled is None else fingerprint(labeled.sample_ids, ordered=True)
        if posterior is not None:
            check_posterior(posterior, len(embedding))
        self._context: dict[str, Any] = {
            name: value
            for name, value in (("labeled", labeled), ("posterior", posterior))
            if value is not None
        }
        if unmet := sorted(self._rule.needs - set(self._context)):
            raise OrderingError(f"strategy {strategy!r} needs {', '.join(unmet)}=; pass it")
        if unused := sorted(set(self._context) - self._rule.uses):
            raise OrderingError(
                f"strategy {strategy!r} does not use {', '.join(unused)}=; leave it out, or choose "
                "a strategy that does"
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise OrderingError(f"seed: expected an integer of 0 or more, got {seed!r}")
        resolve_backend(backend, embedding.logit_grad.device, dtype=embedding.dtype)
        self._strategy, self._strategy_args = strategy, strategy_args
        self._seed, self._backend = seed, backend
        self._embedding = embedding
        self._gone = np.zeros(len(embedding), dtype=np.bool_)
        self._n_issued = 0
        self._issued = np.zeros(len(embedding), dtype=np.bool_)
        self._walk: Walk | None = None
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        """Returns how many ranks are left to hand out."""
        return len(self._embedding) - int((self._gone | self._issued).sum())

    def __iter__(self) -> Iterator[SampleId]:
        while len(picks := self._hand_out(1)):
            yield from self._embedding.sample_ids[picks.positions].tolist()

    @property
    def counters(self) -> Any:
        """What the ordering has cost so far; None for strategies that count nothing."""
        return getattr(self._started(), "counters", None)

    def take(self, k: int | None = None, *, coverage: float | None = None) -> Ordering:
        """Hands out the next ranks.

        Args:
            k: How many; None for all that are left.
            coverage: Stop once this share of the pool's scatter is explained.

        Raises:
            OrderingError: ``k`` below 1, or a strategy that knows no coverage.
        """
        wanted = self._ranks(k)
        first_rank = self._n_issued
        if coverage is not None:
            check_coverage(coverage)
            self._require_coverage()
        picks = self._hand_out(wanted, np.inf if coverage is None else coverage)
        return _ordering(self._embedding, picks, self._metadata(first_rank))

    def _hand_out(self, k: int, coverage: float = np.inf) -> Picks:
        picks = self._started().take(k, coverage)
        self._issued[picks.positions] = True
        self._n_issued += len(picks)
        return picks

    def has_issued(self, sample_id: SampleId) -> bool:
        """Whether a rank was given to this sample already."""
        return sample_id in self._embedding.sample_ids[self._issued].tolist()

    def extend(self, embedding: GradientEmbedding, *, posterior: Tensor | None = None) -> None:
        """Adds rows that arrived meanwhile.

        Args:
            embedding: The rows.
            posterior: Their class probabilities under the same posterior samples as the pool's, for
                the strategies that need it.

        Raises:
            EmbeddingError: Rows of another head or loss, or ids that are in the pool already.
            OrderingError: A posterior that is missing, of no use, or of other samples.
        """
        embedding = embedding.like(self._embedding)
        uses_posterior = "posterior" in self._context
        if uses_posterior != (posterior is not None):
            need = "needs" if uses_posterior else "does not use"
            raise OrderingError(f"extend: strategy {self._strategy!r} {need} posterior=")
        if posterior is not None:
            check_posterior(posterior, len(embedding), like=self._context["posterior"])
        self._embedding = self._embedding.concatenate(embedding)
        if posterior is not None:
            self._context["posterior"] = torch.cat([self._context["posterior"], posterior])
        self._fingerprint = None
        new = np.zeros(len(embedding), dtype=np.bool_)
        self._gone, self._issued = np.append(self._gone, new), np.append(self._issued, new)
        if self._walk is not None:
            self._walk.extend(embedding, posterior)

    def discard(self, sample_ids: Iterable[SampleId]) -> None:
        """Removes rows that nobody will label.

        Raises:
            OrderingError: Ids that are not in the pool, or were handed out already; nothing is
                removed then.
        """
        ids = as_sample_ids(sample_ids, error=OrderingError)
        left = np.flatnonzero(~(self._gone | self._issued))
        among = self._embedding.sample_ids[left]
        of = "the pool that were not handed out"
        positions = left[positions_of(ids, among, what="discard", of=of, error=OrderingError)]
        positions.sort()
        self._gone[positions] = True
        self._fingerprint = None
        if self._walk is not None:
            self._walk.discard(positions)

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values from which another process goes on identically.

        The embedding is not among them: the other process builds a LazyOrdering of the same
        arguments over all rows, those that came by ``extend`` at the end, and loads this.
        """
        return {
            **self._identity(),
            "backend": self._backend,
            "gone": torch.tensor(self._gone),
            "issued": torch.tensor(self._issued),
            "n_issued": self._n_issued,
            "walk": None if self._walk is None else self._walk.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the ordering that ``state`` was taken from stood.

        Raises:
            OrderingError: A state of another pool, strategy, seed or labeled set.
        """
        for name, here in self._identity().items():
            if state[name] != here:
                raise OrderingError(
                    f"{name}: expected {state[name]!r}, as in the state, got {here!r}; build "
                    "the LazyOrdering from the arguments and rows that the state was taken from"
                )
        self._gone, self._issued = (state[name].numpy().copy() for name in ("gone", "issued"))
        self._n_issued, self._backend = state["n_issued"], state["backend"]
        self._fingerprint = None
        self._walk = None
        if state["walk"] is not None:
            self._new_walk().load_state_dict(state["walk"])

    def _identity(self) -> dict[str, Any]:
        """Returns what a state must agree in; the ids in their order, for it holds positions."""
        return {
            "strategy": self._strategy,
            "strategy_args": self._strategy_args,
            "seed": self._seed,
            "labeled": self._labeled,
            "fingerprint": fingerprint(self._embedding.sample_ids, ordered=True),
        }

    def _started(self) -> Walk:
        if self._walk is None:
            gone = np.flatnonzero(self._gone)
            walk = self._new_walk()
            if len(gone):
                walk.discard(gone)
        assert self._walk is not None
        return self._walk

    def _new_walk(self) -> Walk:
        # Settled with the walk's first rows: a pool that grows keeps its back end.
        embedding = self._embedding
        self._backend = resolve_backend(
            self._backend, embedding.logit_grad.device, len(embedding), embedding.dtype
        )
        self._walk = self._rule.rule(
            self._embedding,
            seed=self._seed,
            backend=self._backend,
            **self._context,
            **self._strategy_args,
        )
        return self._walk

    def _ranks(self, k: int | None) -> int:
        if k is None:
            return len(self)
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise OrderingError(f"k: expected a positive integer, or None for all, got {k!r}")
        return k

    def _require_coverage(self) -> None:
        if not self._rule.measures_coverage:
            raise OrderingError(f"strategy {self._strategy!r} knows no coverage; badge does")

    def _metadata(self, first_rank: int) -> dict[str, Any]:
        embedding = self._embedding
        if self._fingerprint is None:
            self._fingerprint = fingerprint(embedding.sample_ids[~self._gone])
        return {
            "strategy": self._strategy,
            "strategy_args": self._strategy_args,
            "seed": self._seed,
            "backend": self._backend,
            "first_rank": first_rank,
            "n_pool": len(embedding) - int(self._gone.sum()),
            "pool_fingerprint": self._fingerprint,
            "classes": embedding.logit_grad.shape[1],
            "width": embedding.penultimate.shape[1],
            "loss": embedding.loss,
            "bias": embedding.bias,
            "dtype": str(embedding.penultimate.dtype).removeprefix("torch."),
        }


def _ordering(embedding: GradientEmbedding, picks: Picks, metadata: dict[str, Any]) -> Ordering:
    chosen = torch.from_numpy(picks.positions).to(embedding.logit_grad.device)
    label, confidence = embedding.hallucinated_label, embedding.confidence
    return Ordering(
        sample_ids=embedding.sample_ids[picks.positions],
        gains=picks.gains,
        hallucinated_label=None if label is None else label[chosen].int().cpu().numpy(),
        confidence=None if confidence is None else confidence[chosen].float().cpu().numpy(),
        coverage=_known(picks.coverage),
        metadata=metadata,
    )


def _known(coverage: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    return None if len(coverage) and np.isnan(coverage).all() else coverage

"""`LazyOrdering`: ranks computed on request, for pools that may change between requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge import arguments as check
from lightning_badge.embedding import GradientEmbedding, content_digest
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.ordering.ordering import Ordering, check_coverage
from lightning_badge.ordering.posterior import check_posterior
from lightning_badge.ordering.registry import check_sharded
from lightning_badge.ordering.selector import Picks, Selector
from lightning_badge.ordering.strategies import check_strategy
from lightning_badge.sample_ids import (
    SampleId,
    SampleIds,
    as_sample_ids,
    fingerprint,
    positions_of,
)


class LazyOrdering:
    """An ordering that computes and issues its ranks in parts.

    ``take(10)`` followed by ``take(20)`` issues the ranks of ``take(30)``. Between parts, rows may
    be added (``extend``) and removed (``discard``). Ranks already issued never change. The ranks
    after them have the distribution of the strategy on the new pool, conditional on the issued
    ranks. If the pool grows before the first part, the ordering is that of the whole pool.

    Args:
        embedding: The pool.
        strategy: A name in ``STRATEGIES``.
        seed: Seed of all random draws; the same seed gives the same ordering.
        labeled: Embedding of the labeled set, for strategies that use it.
        posterior: Class probabilities under ``s`` posterior samples, ``[n, s, c]``, for strategies
            that use them.
        backend: The back end that computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        **strategy_args: Arguments of the strategy, such as ``first_center`` of ``badge``.

    Raises:
        OrderingError: An unknown strategy or argument, a missing ``labeled`` or ``posterior``, or
            a negative seed.

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
        for name, value in (("embedding", embedding), ("labeled", labeled)):
            if value is not None or name == "embedding":
                kind = GradientEmbedding
                check.instance(name, value, kind, "a GradientEmbedding", error=OrderingError)
        if embedding.shard is not None:
            check_sharded(strategy)
        labeled = None if labeled is None else labeled.like(embedding)
        if posterior is not None:
            check_posterior(posterior, len(embedding))
        self._context: dict[str, Any] = {
            name: value
            for name, value in (("labeled", labeled), ("posterior", posterior))
            if value is not None
        }
        if missing := sorted(self._rule.needs - set(self._context)):
            raise OrderingError(f"strategy {strategy!r} needs {', '.join(missing)}=; pass it")
        if unused := sorted(set(self._context) - self._rule.uses):
            raise OrderingError(
                f"strategy {strategy!r} does not use {', '.join(unused)}=; leave it out, or choose "
                "a strategy that does"
            )
        seed = check.integer("seed", seed, least=0, error=OrderingError)
        resolve_backend(backend, embedding.logit_grad.device, dtype=embedding.dtype)
        self._strategy, self._strategy_args = strategy, strategy_args
        self._seed, self._backend = seed, backend
        self._embedding = embedding
        self._ids = embedding.whole_ids()
        self._n_issued = 0
        self._selector: Selector | None = None
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        """Returns the number of remaining rows."""
        if self._selector is None:
            return len(self._ids)
        return self._selector.members.n_remaining

    def __iter__(self) -> Iterator[SampleId]:
        while len(picks := self._issue(1)):
            yield from self._ids[picks.positions].tolist()

    @property
    def counters(self) -> Any:
        """The cost of the ordering so far; None for strategies without counters."""
        return getattr(self._started(), "counters", None)

    def take(
        self,
        k: int | None = None,
        *,
        coverage: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Ordering:
        """Issues the next ranks.

        Args:
            k: Largest number of ranks; None for all that remain.
            coverage: Stop once this share of the pool's scatter is explained.
            progress: Called with the number of ranks issued, once per block.

        Raises:
            OrderingError: ``k`` below 1, or a strategy that does not measure coverage.
        """
        wanted = self._ranks(k)
        first_rank = self._n_issued
        if coverage is not None:
            check_coverage(coverage)
            self._require_coverage()
        picks = self._issue(wanted, np.inf if coverage is None else coverage, progress)
        return _ordering(self._embedding, self._ids, picks, self._metadata(first_rank))

    def _issue(
        self,
        k: int,
        coverage: float = np.inf,
        progress: Callable[[int], None] | None = None,
    ) -> Picks:
        picks = self._started().take(k, coverage, progress)
        self._n_issued += len(picks)
        return picks

    def has_issued(self, sample_id: SampleId) -> bool:
        """Returns whether this sample's rank was issued already."""
        if self._selector is None:
            return False
        return sample_id in self._ids[self._selector.members.issued].tolist()

    def extend(self, embedding: GradientEmbedding, *, posterior: Tensor | None = None) -> None:
        """Adds rows to the pool.

        Args:
            embedding: The new rows.
            posterior: Their class probabilities under the same posterior samples as the pool's, for
                strategies that use them.

        Raises:
            EmbeddingError: Rows of another head or loss, or ids that are in the pool already.
            OrderingError: A posterior that is missing, not used by the strategy, or of another
                number of posterior samples or classes.
        """
        embedding = embedding.like(self._embedding)
        uses_posterior = "posterior" in self._context
        if uses_posterior != (posterior is not None):
            need = "needs" if uses_posterior else "does not use"
            raise OrderingError(f"extend: strategy {self._strategy!r} {need} posterior=")
        if posterior is not None:
            check_posterior(posterior, len(embedding), like=self._context["posterior"])
        pool = self._embedding.concatenate(embedding)
        self._ids, self._embedding = pool.whole_ids(), pool
        if posterior is not None:
            posterior = torch.cat([self._context["posterior"], posterior])
            self._context["posterior"] = posterior
        self._fingerprint = None
        if self._selector is not None:
            self._selector.extend(self._embedding, posterior)

    def discard(self, sample_ids: Iterable[SampleId]) -> None:
        """Removes rows that will not be labeled from the pool.

        Raises:
            OrderingError: Ids that are not in the pool or were issued already. Then no row is
                removed.
        """
        self._started().discard(np.sort(self._remaining_at("discard", sample_ids)))
        self._fingerprint = None

    def publish(self, sample_ids: Iterable[SampleId]) -> None:
        """Issues rows that were chosen elsewhere, such as those that people label already.

        The ranks that follow are chosen as if the strategy had chosen these rows before them: for
        k-means++ and k-center they are centers.

        Raises:
            OrderingError: Ids that are not in the pool or were issued already. Then nothing is
                issued.
        """
        positions = self._remaining_at("publish", sample_ids)
        if len(positions):
            self._started().publish(positions)
            self._n_issued += len(positions)

    def _remaining_at(self, what: str, sample_ids: Iterable[SampleId]) -> npt.NDArray[np.int64]:
        """Returns the positions of rows that were not issued."""
        ids = as_sample_ids(sample_ids, error=OrderingError)
        remaining = np.flatnonzero(self._started().members.remaining.cpu().numpy())
        of = "the pool that were not issued"
        places = positions_of(ids, self._ids[remaining], what=what, of=of, error=OrderingError)
        found: npt.NDArray[np.int64] = remaining[places]
        return found

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values from which another process continues identically.

        They do not contain the embedding. The other process builds a ``LazyOrdering`` with the same
        arguments over all rows, with rows added by ``extend`` at the end, and loads the state.
        """
        return {
            **self._identity(),
            "backend": self._backend,
            "n_issued": self._n_issued,
            "selector": None if self._selector is None else self._selector.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state that `state_dict` returned.

        Raises:
            OrderingError: A state of other rows, activations, strategy, seed or labeled set, or
                one that is incomplete or inconsistent. Then this ordering does not change.
        """
        identity = self._identity()
        expected = {*identity, "backend", "n_issued", "selector"}
        if not isinstance(state, dict) or set(state) != expected:
            got = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise OrderingError(
                f"state: expected a result of state_dict(), with {', '.join(sorted(expected))}; "
                f"got {got}"
            )
        for name, here in identity.items():
            if state[name] != here:
                raise OrderingError(
                    f"{name}: expected {state[name]!r}, as in the state, got {here!r}; build "
                    "the LazyOrdering from the arguments and rows of the saved one"
                )
        selector = None
        if state["selector"] is not None:
            selector = self._new_selector(self._resolved(state["backend"]))
            try:
                selector.load_state_dict(state["selector"])
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as e:
                raise OrderingError(
                    f"state: incomplete or damaged ({type(e).__name__}: {e}); save it again"
                ) from e
        n_issued = 0 if selector is None else int(selector.members.issued.sum())
        if n_issued != state["n_issued"]:
            raise OrderingError(
                f"state: inconsistent, n_issued is {state['n_issued']!r} but {n_issued} rows are "
                "marked as issued; save it again"
            )
        self._selector, self._n_issued, self._backend = selector, n_issued, state["backend"]
        self._fingerprint = None

    def _identity(self) -> dict[str, Any]:
        """Returns what must match between a state and this ordering.

        The fingerprint of the ids depends on their order, because the state contains positions.
        """
        posterior: Tensor | None = self._context.get("posterior")
        labeled: GradientEmbedding | None = self._context.get("labeled")
        return {
            "strategy": self._strategy,
            "strategy_args": self._strategy_args,
            "seed": self._seed,
            "fingerprint": fingerprint(self._ids, ordered=True),
            "content": self._embedding.content_fingerprint(),
            "posterior": None if posterior is None else content_digest([posterior]),
            "labeled": None if labeled is None else labeled.content_fingerprint(),
        }

    def _started(self) -> Selector:
        if self._selector is None:
            # Resolved once, so that a growing pool keeps its back end.
            backend = self._resolved(self._backend)
            self._selector, self._backend = self._new_selector(backend), backend.name
        return self._selector

    def _new_selector(self, backend: Backend) -> Selector:
        return self._rule.rule(
            self._embedding,
            seed=self._seed,
            backend=backend,
            **self._context,
            **self._strategy_args,
        )

    def _resolved(self, backend: str) -> Backend:
        embedding = self._embedding
        return resolve_backend(
            backend, embedding.logit_grad.device, len(self._ids), embedding.dtype
        )

    def _ranks(self, k: int | None) -> int:
        if k is None:
            return len(self)
        if not check.is_integer(k) or k < 1:
            raise OrderingError(f"k: expected a positive integer, or None for all, got {k!r:.80}")
        return int(k)

    def _require_coverage(self) -> None:
        if not self._rule.measures_coverage:
            raise OrderingError(
                f"strategy {self._strategy!r} does not measure coverage; use one that does, such "
                "as badge"
            )

    def _metadata(self, first_rank: int) -> dict[str, Any]:
        embedding = self._embedding
        if self._fingerprint is None:
            discarded = self._started().members.discarded
            self._fingerprint = fingerprint(self._ids[~discarded])
        return {
            "strategy": self._strategy,
            "strategy_args": self._strategy_args,
            "seed": self._seed,
            "backend": self._backend,
            "first_rank": first_rank,
            "n_pool": self._n_issued + len(self),
            "pool_fingerprint": self._fingerprint,
            "classes": embedding.logit_grad.shape[1],
            "width": embedding.penultimate.shape[1],
            "loss": embedding.loss,
            "bias": embedding.bias,
            "dtype": str(embedding.penultimate.dtype).removeprefix("torch."),
            **self._started().metadata(),
        }


def _ordering(
    embedding: GradientEmbedding, ids: SampleIds, picks: Picks, metadata: dict[str, Any]
) -> Ordering:
    chosen = torch.from_numpy(picks.positions).to(embedding.logit_grad.device)
    label, confidence = embedding.hallucinated_label, embedding.confidence
    if label is not None:
        label = embedding.at(chosen, label)[0].int()
    if confidence is not None:
        confidence = embedding.at(chosen, confidence)[0].float()
    return Ordering(
        sample_ids=ids[picks.positions],
        gains=picks.gains,
        hallucinated_label=None if label is None else label.cpu().numpy(),
        confidence=None if confidence is None else confidence.cpu().numpy(),
        coverage=_known(picks.coverage),
        metadata=metadata,
    )


def _known(coverage: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    return None if len(coverage) and np.isnan(coverage).all() else coverage

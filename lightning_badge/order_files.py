"""Orders embeddings that lie in files: for people without a Trainer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from lightning_badge.embedding_files import StrPath, facts_of, read_embedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Loss
from lightning_badge.ordering import STRATEGIES, Ordering, check_strategy, order
from lightning_badge.ordering_file import write_ordering
from lightning_badge.progress import progress_bar, progress_status
from lightning_badge.sample_ids import SampleId


def order_files(
    penultimate: StrPath | None = None,
    logits: StrPath | None = None,
    *,
    file: StrPath | None = None,
    ids: StrPath | Iterable[SampleId] | None = None,
    labeled_penultimate: StrPath | None = None,
    labeled_logits: StrPath | None = None,
    labeled_file: StrPath | None = None,
    strategy: str = "badge",
    k: int | None = None,
    seed: int = 0,
    loss: Loss | Literal["auto"] = "auto",
    bias: bool = False,
    backend: str = "auto",
    out: StrPath | None = None,
    progress: bool = False,
    **strategy_args: Any,
) -> Ordering:
    """Orders a pool whose activations and logits lie in files, best sample first.

    Args:
        penultimate: ``.npy`` file of the activations that enter the head, ``[n, h]`` floats.
        logits: ``.npy`` file of the logits, ``[n, c]`` floats.
        file: Instead of both: one Parquet, Arrow or safetensors file that holds ``penultimate`` and
            ``logits``, and ``sample_id`` if the rows have ids; or a folder of Parquet files of this
            kind, all with ids, or of shards that `capture_to` wrote, which may exceed memory.
        ids: Ids of the rows: a text file with one id a line, a ``.npy`` file, or the ids
            themselves. By default those in ``file``, else ``0..n-1``.
        labeled_penultimate: The same of the labeled set, for strategies that use it.
        labeled_logits: The same of the labeled set.
        labeled_file: Instead of both: one file of the labeled set.
        strategy: A name in ``STRATEGIES``.
        k: Ranks to order; None orders the whole pool.
        seed: Of every draw: same seed, same ordering.
        loss: ``cross_entropy``, or ``binary_cross_entropy`` for binary and multi-label models.
            ``auto`` is the one that a folder names, else ``cross_entropy``.
        bias: Whether to embed the gradient of the head's bias as well.
        backend: ``auto``, ``torch``, ``numba`` or ``triton``.
        out: Where to write the ordering file; None writes none.
        progress: Whether to show a progress bar on a terminal.
        **strategy_args: The strategy's own, such as ``first_center`` of ``badge``.

    Returns:
        ``min(k, n)`` distinct sample ids, best first.

    Raises:
        EmbeddingError: A file that is missing or of another kind, or arrays of other shapes.
        OrderingError: An unknown strategy or argument, or a strategy that files cannot serve.

    Example:
        >>> order_files("activations.npy", "logits.npy", k=1000)  # doctest: +SKIP
    """
    check_strategy(strategy, strategy_args)
    if "posterior" in STRATEGIES[strategy].needs:
        raise OrderingError(
            f"strategy {strategy!r} needs class probabilities under posterior samples, which files "
            "do not hold; use BadgeCallback, or order(..., posterior=...)"
        )
    how: Any = {"bias": bias, "backend": backend}
    labeled_paths = (labeled_penultimate, labeled_logits, labeled_file)
    with progress_status("Reading and embedding", enabled=progress):
        embedding = read_embedding(penultimate, logits, file=file, ids=ids, loss=loss, **how)
        labeled = None
        if any(path is not None for path in labeled_paths):
            how["loss"] = embedding.loss
            labeled = read_embedding(*labeled_paths[:2], file=labeled_file, **how)
    ranks = len(embedding) if k is None else min(k, len(embedding))
    with progress_bar("Ordering", ranks, enabled=progress) as advance:
        ordering = order(
            embedding,
            strategy,
            k=k,
            seed=seed,
            labeled=labeled,
            backend=backend,
            progress=advance,
            **strategy_args,
        )
    ordering = replace(ordering, metadata={**ordering.metadata, **facts_of(file)})
    if out is not None:
        write_ordering(ordering, out)
    return ordering

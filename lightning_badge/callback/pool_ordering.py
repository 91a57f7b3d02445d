"""Captures and orders the pool once, or tries both with a single batch."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning.fabric.utilities import rank_zero_info
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import LightningModule, Trainer

from lightning_badge.callback.announce import announce_pool
from lightning_badge.callback.context import strategy_context
from lightning_badge.callback.duration import tell_duration
from lightning_badge.callback.first_batches import limited
from lightning_badge.callback.pool_source import labeled_loader, pool_source
from lightning_badge.callback.review import check_labeled, review_of
from lightning_badge.callback.schedule import Schedule
from lightning_badge.callback.trainer_checks import (
    find_backend,
    reject_backend,
    reject_processes,
    trainer_peers,
)
from lightning_badge.callback.trial import try_first_batch
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.loss import ChosenLoss, choose_loss, peek_targets
from lightning_badge.capture.pool import capture_pool
from lightning_badge.capture.positions import positions_of_loader
from lightning_badge.capture.posterior import dropout_layers
from lightning_badge.capture.progress import pool_progress
from lightning_badge.capture.reader import loader_generators, pool_size
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Loss
from lightning_badge.ordering import STRATEGIES, Ordering, order
from lightning_badge.review_file import Review
from lightning_badge.sample_ids import SampleIds


class Arguments(Protocol):
    """The arguments of `BadgeCallback` that an ordering depends on.

    Attributes:
        told: Messages that were logged already and are not repeated.
    """

    strategy: str
    strategy_args: dict[str, Any]
    k: int | None
    seed: int
    head: str | None
    loss: str
    bias: bool
    posterior_samples: int
    sample_id_key: EntryKey | None
    backend: str
    pool: Any
    nearest_labeled: int
    told: set[str]


@dataclass(frozen=True, eq=False)
class OrderedPool:
    """An ordering of the pool and the data it was computed from.

    Attributes:
        ordering: Ordering of the pool.
        embedding: Embedding of the pool, or of this process's rows.
        loader: Loader of the pool.
        sample_ids: Sample ids of the whole pool in the loader's order.
        seconds: Seconds of capture and ordering, by name.
        review: What people need to review labels; None if it is not asked for.
    """

    ordering: Ordering
    embedding: GradientEmbedding
    loader: Iterable[Any]
    sample_ids: SampleIds
    seconds: dict[str, float]
    review: Review | None = None


def check_can_order(trainer: Trainer, pl_module: LightningModule, arguments: Arguments) -> None:
    """Raises if the pool of this Trainer, model and data cannot be ordered.

    Raises:
        MisconfigurationException: Several processes cannot compute the strategy, the back end
            cannot use the device, or there is no pool or no labeled set that the strategy needs.
        CaptureError: The strategy needs a posterior and the model has no dropout layers.
    """
    rule = STRATEGIES[arguments.strategy]
    reject_processes(trainer, arguments.strategy)
    reject_backend(trainer, arguments.backend)
    pool_source(trainer, pl_module, arguments.pool)
    labeled_loader(trainer, rule)
    check_labeled(trainer, arguments.nearest_labeled)
    if "posterior" in rule.uses:
        dropout_layers(pl_module)


def order_pool(
    trainer: Trainer, pl_module: LightningModule, arguments: Arguments
) -> OrderedPool | None:
    """Captures the pool and orders it.

    Random states are restored, also after an exception.

    Args:
        trainer: As in `capture_pool`.
        pl_module: As in `capture_pool`.
        arguments: Arguments of the callback.

    Returns:
        The ordering and its data; None if the pool is empty.

    Raises:
        BadgeError: Capture, embedding or ordering failed.
    """
    with untouched_random_state():
        loader = pool_source(trainer, pl_module, arguments.pool)()
        batches = limited(trainer, loader, arguments.sample_id_key)
        if 0 in (pool_size(loader), sized_len(batches)):
            return None
        with untouched_random_state(*loader_generators(loader)):
            return _order_batches(trainer, pl_module, loader, batches, arguments)


def _order_batches(
    trainer: Trainer,
    pl_module: LightningModule,
    loader: Iterable[Any],
    batches: Iterable[Any],
    arguments: Arguments,
) -> OrderedPool:
    key, peers = arguments.sample_id_key, trainer_peers(trainer)
    started = time.perf_counter()
    captured = capture_pool(
        trainer, pl_module, batches, head=arguments.head, sample_id_key=key, peers=peers
    )
    loss = peers.agree(partial(_choose_loss, pl_module, captured, loader, arguments))
    embed = partial(_embed, loss=loss.name, arguments=arguments)
    embedding = peers.agree(partial(embed, captured))
    context = strategy_context(
        arguments.strategy,
        trainer,
        pl_module,
        batches,
        embedding,
        embed=embed,
        head=captured.head_name,
        sample_id_key=key,
        samples=arguments.posterior_samples,
        seed=arguments.seed,
        peers=peers,
    )
    review = None
    if arguments.nearest_labeled:
        review = review_of(
            trainer,
            pl_module,
            captured,
            loss=loss.name,
            nearest_labeled=arguments.nearest_labeled,
            sample_id_key=key,
            peers=peers,
        )
    captured_at = time.perf_counter()
    ordering = _order(trainer, embedding, context, arguments)
    ordered_at = time.perf_counter()
    _tell_positions(captured, batches, arguments)
    evidence = {
        "head": captured.head_name,
        "sample_id_source": captured.id_source,
        "loss_evidence": loss.evidence,
    }
    return OrderedPool(
        replace(ordering, metadata={**ordering.metadata, **evidence}),
        embedding,
        loader,
        embedding.whole_ids(),
        {"capture": captured_at - started, "ordering": ordered_at - captured_at},
        review,
    )


def try_pool(
    trainer: Trainer,
    pl_module: LightningModule,
    arguments: Arguments,
    schedule: Schedule,
    path: Path,
) -> None:
    """Logs which pool will be ordered, and captures and embeds its first batch.

    Args:
        trainer: As in `capture_pool`.
        pl_module: As in `capture_pool`.
        arguments: Arguments of the callback.
        schedule: When the callback orders.
        path: Path of the ordering file.

    Raises:
        BadgeError: Capture or embedding failed.
    """
    with untouched_random_state():
        source = pool_source(trainer, pl_module, arguments.pool)
        loader = source()
        if pool_size(loader) == 0:
            return
        find_backend(trainer, arguments.backend, pool_size(loader) or 0)
        with untouched_random_state(*loader_generators(loader)):
            announce_pool(trainer, source, loader, schedule, path)
            attempt = partial(_try_first_batch, trainer, pl_module, loader, arguments)
            trainer_peers(trainer).agree(attempt)


def _try_first_batch(
    trainer: Trainer, pl_module: LightningModule, loader: Iterable[Any], arguments: Arguments
) -> None:
    captured = try_first_batch(
        trainer,
        pl_module,
        loader,
        head=arguments.head,
        sample_id_key=arguments.sample_id_key,
    )
    if captured is not None:
        _tell_positions(captured, loader, arguments)
        loss = _choose_loss(pl_module, captured, loader, arguments)
        _embed(captured, loss=loss.name, arguments=arguments)


def _choose_loss(
    pl_module: LightningModule, captured: CapturedPool, loader: Iterable[Any], arguments: Arguments
) -> ChosenLoss:
    if arguments.loss != "auto":
        return ChosenLoss(cast(Loss, arguments.loss), "given as loss=")
    targets = peek_targets(loader, arguments.sample_id_key)
    chosen = choose_loss(pl_module, captured.logits.shape[1], targets)
    _tell_once(
        f"BadgeCallback: embeds the gradient of {chosen.name} ({chosen.evidence}); "
        "loss=... chooses another",
        arguments,
    )
    return chosen


def _tell_positions(captured: CapturedPool, loader: Iterable[Any], arguments: Arguments) -> None:
    """Says once that no ids were given, and what follows from that."""
    if captured.id_source == positions_of_loader(loader).meaning:
        _tell_once(
            f"BadgeCallback: sample ids are {captured.id_source}; the same position is another "
            "sample once files are added, removed or sorted in another way; sample_id_key=... "
            "takes ids from the batches",
            arguments,
        )


def _tell_once(message: str, arguments: Arguments) -> None:
    if message not in arguments.told:
        arguments.told.add(message)
        rank_zero_info(message)


def _embed(captured: CapturedPool, *, loss: Loss, arguments: Arguments) -> GradientEmbedding:
    return captured.embedding(loss=loss, bias=arguments.bias, backend=arguments.backend)


@torch.inference_mode(False)
@torch.no_grad()
def _order(
    trainer: Trainer, embedding: GradientEmbedding, context: dict[str, Any], arguments: Arguments
) -> Ordering:
    run = partial(
        order,
        embedding,
        arguments.strategy,
        seed=arguments.seed,
        backend=arguments.backend,
        **context,
        **arguments.strategy_args,
    )
    if "duration" not in arguments.told and tell_duration(embedding, run, arguments.k):
        arguments.told.add("duration")
    n = embedding.n_pool if arguments.k is None else min(arguments.k, embedding.n_pool)
    with pool_progress(trainer, n, "Ordering") as advance:
        return run(k=arguments.k, progress=advance)

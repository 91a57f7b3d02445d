"""Training of one round: fits a fresh model on all labels and validates its best checkpoint."""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    seed_everything,
)

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labels import as_plain
from lightning_badge.loop.round_progress import RoundProgress
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.loop.signals import KeepSignals
from lightning_badge.loop.validation_record import ValidationRecord
from lightning_badge.stopping import check_stop

_log = logging.getLogger(__name__)


def round_seed(seed: int, round: int) -> int:
    """Returns the seed of a round; a hash makes neighbouring rounds and seeds independent.

    Example:
        >>> round_seed(0, 0) != round_seed(0, 1)
        True
    """
    digest = hashlib.blake2b(f"{seed}:{round}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def warn_without_validation(metric: str) -> None:
    """Says what a run without validation data lacks."""
    _log.warning(
        "no validation data: each round orders by the weights with which its training ends, not by "
        "the best ones; %s is nan, and no learning curve is written",
        metric,
    )


def train_round(
    round: int,
    *,
    make_model: Callable[[], LightningModule],
    make_trainer: Callable[[int, Path], Trainer],
    datamodule: ActiveLearningDataModule,
    directory: Path,
    checkpoint: Path,
    seed: int,
    metric: str,
    progress: bool = True,
) -> RoundReport:
    """Trains a fresh model with a fresh Trainer and validates its best checkpoint.

    Without validation data the last weights become the checkpoint, and each callback with a method
    ``order_now(trainer, model)``, as `BadgeCallback` has it, orders the pool by them.

    Args:
        round: The round number.
        make_model: Builds the model; its initial weights depend on ``seed`` and ``round``.
        make_trainer: Builds the Trainer from the round and ``directory``.
        datamodule: Labeled set, pool and validation data.
        directory: The round's folder, empty.
        checkpoint: Path where ``fit`` saves the best checkpoint. If ``fit`` ends before its first
            validation, or without any, it saves none, and the last weights are saved there.
        seed: Seeds every random draw, together with the round.
        metric: The metric that validation must log.
        progress: Whether to show a progress bar on a terminal, unless the Trainer shows one.

    Raises:
        MisconfigurationException: ``fit`` saved its best checkpoint elsewhere, or validation did
            not log ``metric``.
    """
    check_stop()
    started = time.perf_counter()
    seed_everything(round_seed(seed, round), workers=True, verbose=False)
    model, trainer = make_model(), make_trainer(round, directory)
    trainer.callbacks.append(KeepSignals())  # type: ignore[attr-defined]
    if progress and trainer.progress_bar_callback is None:
        trainer.callbacks.append(RoundProgress(round))  # type: ignore[attr-defined]
    trainer.fit(model, datamodule=datamodule)
    record = ValidationRecord(datamodule.target_key)
    if datamodule.has_validation:
        # Rank zero decides: on other machines the file may be visible later.
        if not trainer.strategy.broadcast(checkpoint.is_file()):
            _save_last_weights(trainer, checkpoint)
        trainer.callbacks.insert(0, record)  # type: ignore[attr-defined] # ends before the pool pass
        metrics = _validate(trainer, model, datamodule, checkpoint)
        _check_logged(metric, metrics)
    else:
        trainer.save_checkpoint(checkpoint, weights_only=True)
        _order_by_last_weights(trainer, model)
        metrics = {}
    return RoundReport(
        round=round,
        labeled=len(datamodule.labeled_ids),
        pool=len(datamodule.pool_ids),
        metrics=metrics,
        seconds=_seconds_since(started),
        validated=record.samples,
        correct=record.correct(metrics.get(metric)),
    )


def _check_logged(metric: str, metrics: dict[str, float | None]) -> None:
    if metric not in metrics:
        raise MisconfigurationException(
            f"metric: validation logged no {metric!r}, only "
            f"{', '.join(sorted(metrics)) or 'nothing'}; choose one of these, or log it in "
            "validation_step"
        )


def _order_by_last_weights(trainer: Trainer, model: LightningModule) -> None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if callable(order_now := getattr(callback, "order_now", None)):
            order_now(trainer, model)


def _save_last_weights(trainer: Trainer, checkpoint: Path) -> None:
    keeper = trainer.checkpoint_callback
    if keeper is not None and (other := getattr(keeper, "best_model_path", "")):
        raise MisconfigurationException(
            f"expected {checkpoint} after fit, got {other}; make_trainer(round, directory) needs "
            'ModelCheckpoint(directory, "best", monitor=..., mode=...)'
        )
    trainer.save_checkpoint(checkpoint, weights_only=True)


def _validate(
    trainer: Trainer, model: LightningModule, datamodule: LightningDataModule, checkpoint: Path
) -> dict[str, float | None]:
    metrics: dict[str, Any] = {}
    for logged in trainer.validate(
        model, datamodule=datamodule, ckpt_path=checkpoint, verbose=False
    ):
        metrics |= logged
    plain: dict[str, float | None] = as_plain(metrics, error=RunDirectoryError)
    return plain


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 3)

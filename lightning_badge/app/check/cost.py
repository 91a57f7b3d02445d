"""Time and disk space of a round, measured on a few batches."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_badge.capture.without_trainer import capture
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import STRATEGIES, Ordering, order
from lightning_badge.ordering_file import write_ordering

STEPS = 12  # optimizer steps that are timed; the first two only warm up
_WARM_UP = 2
# Keys of a strategy's configuration that are not arguments of the strategy.
NOT_ARGUMENTS = {"name", "posterior_samples"}
SAMPLES = 1024  # of the pool that are captured and ordered


@dataclass(frozen=True)
class Cost:
    """Estimates for one round.

    Attributes:
        steps: Optimizer steps; None if nothing limits them.
        training_s: Time of training; None without a limit.
        validation_s: Time of all validation passes; 0 without validation data.
        pool_s: Time of the pass over the pool.
        ordering_s: Time of the ordering; None for a strategy that was not measured.
        measured_on: Number of pool samples that were captured and ordered.
        checkpoint_bytes: Size of the checkpoint.
        ordering_bytes: Size of the ordering file.
    """

    steps: int | None
    training_s: float | None
    validation_s: float
    pool_s: float
    ordering_s: float | None
    measured_on: int
    checkpoint_bytes: int
    ordering_bytes: int

    @property
    def total_s(self) -> float | None:
        """Time of a round, without an ordering that was not measured; None without a limit."""
        if self.training_s is None:
            return None
        return self.training_s + self.validation_s + self.pool_s + (self.ordering_s or 0.0)

    @property
    def total_bytes(self) -> int:
        """Disk space of a round."""
        return self.checkpoint_bytes + self.ordering_bytes


def measure(
    model: LightningModule,
    make_trainer: Callable[..., Trainer],
    datamodule: ActiveLearningDataModule,
    *,
    strategy: dict[str, Any],
    ranks: int | None,
    head: str | None,
    loss: str,
) -> Cost:
    """Trains a few steps, captures and orders a part of the pool, and extrapolates.

    The data module's labels and the run directory stay as they are.

    Args:
        model: A fresh model; it is trained.
        make_trainer: Builds the run's Trainer from arguments that replace those of the run.
        datamodule: With at least one labeled sample and one in the pool.
        strategy: Name and arguments of the strategy.
        ranks: Ranks that are ordered; None for the whole pool.
        head: Name of the classifier head; None finds it.
        loss: Loss of the embedding, or ``auto``.
    """
    clock = _Clock()
    few = {"enable_checkpointing": False, "logger": False, "num_sanity_val_steps": 0}
    planned, batches = make_trainer(), len(datamodule.train_dataloader())
    steps = _steps(planned, batches)
    limits = {"max_steps": STEPS, "max_epochs": -1, "limit_val_batches": 0}
    trainer = make_trainer(**few, **limits, callbacks=[clock])
    began = time.perf_counter()
    trainer.fit(model, datamodule=datamodule)
    if trainer.global_step < STEPS and trainer.should_stop:  # it has solved its problem
        steps, clock.times = 1, [0.0] * _WARM_UP + [began, time.perf_counter()]
    pool_s, embedding = _capture(
        model.to(trainer.strategy.root_device), datamodule, head=head, loss=loss
    )
    pool, n = len(datamodule.pool_ids), len(embedding)
    ordering_s, ordering = _order(embedding, strategy, pool)
    with TemporaryDirectory(prefix="lightning_badge_") as folder:
        checkpoint, ordering_path = Path(folder) / "a.ckpt", Path(folder) / "a.parquet"
        trainer.save_checkpoint(checkpoint, weights_only=True)
        write_ordering(ordering, ordering_path)
        checkpoint_bytes, ordering_bytes = (
            path.stat().st_size for path in (checkpoint, ordering_path)
        )
    share = min(ranks or pool, pool) / pool
    return Cost(
        steps,
        None if steps is None else steps * clock.seconds,
        _validations(planned, steps, batches) * _validation_s(make_trainer, few, model, datamodule),
        pool_s * pool / n,
        None if ordering_s is None else ordering_s * share,
        n,
        checkpoint_bytes,
        round(ordering_bytes * pool / n),
    )


def _capture(
    model: LightningModule,
    datamodule: ActiveLearningDataModule,
    *,
    head: str | None,
    loss: str,
) -> tuple[float, GradientEmbedding]:
    """Embeds the first samples of the pool; returns how long that took, loading included."""
    loader = datamodule.pool_dataloader()
    began = time.perf_counter()
    batches = list(islice(loader, max(1, SAMPLES // (loader.batch_size or 1))))
    embedding = capture(model, batches, head, loss=loss)
    return time.perf_counter() - began, embedding


def _order(
    embedding: GradientEmbedding, strategy: dict[str, Any], pool: int
) -> tuple[float | None, Ordering]:
    """Orders an embedding; returns the time for ``pool`` samples too.

    The time grows by a power of the size, which is measured on the embedding and a quarter of it.
    It is None for a strategy that needs more than an embedding.
    """
    own = {key: value for key, value in strategy.items() if key not in NOT_ARGUMENTS}
    name = strategy["name"]
    if STRATEGIES[name].needs:
        return None, order(embedding, "random")
    n = len(embedding)
    few = max(n // 4, 1)
    part = embedding.take(slice(few))
    order(part, name, k=min(few, 8), **own)  # compiles
    few_s, _ = _timed(part, name, own)
    all_s, ordering = _timed(embedding, name, own)
    power = math.log(all_s / few_s) / math.log(n / few) if n > few else 1.0
    return all_s * (pool / n) ** min(max(power, 1.0), 2.0), ordering


def _timed(embedding: GradientEmbedding, name: str, own: dict[str, Any]) -> tuple[float, Ordering]:
    began = time.perf_counter()
    ordering = order(embedding, name, **own)
    return time.perf_counter() - began, ordering


class _Clock(Callback):
    """Measures the seconds of a training step."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        times = self.times[_WARM_UP:]
        gaps = [after - before for before, after in pairwise(times)]
        return median(gaps) if gaps else 0.0


def _steps(trainer: Trainer, batches: int) -> int | None:
    """Returns the optimizer steps of a round; None if nothing limits them."""
    limits = []
    if trainer.max_steps >= 0:
        limits.append(trainer.max_steps)
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append(math.ceil(trainer.max_epochs * batches / trainer.accumulate_grad_batches))
    return min(limits) if limits else None


def _validations(trainer: Trainer, steps: int | None, batches: int) -> int:
    """Returns how often a round validates, the best checkpoint included."""
    if steps is None:
        return 1
    seen, interval = steps * trainer.accumulate_grad_batches, trainer.val_check_interval or 1
    if trainer.check_val_every_n_epoch is None:
        return 1 + int(seen // interval)
    every = interval if isinstance(interval, int) else max(int(batches * interval), 1)
    return 1 + seen // batches // trainer.check_val_every_n_epoch * max(batches // every, 1)


def _validation_s(
    make_trainer: Callable[..., Trainer],
    few: dict[str, Any],
    model: LightningModule,
    datamodule: ActiveLearningDataModule,
) -> float:
    """Returns the time of a pass over the validation data, measured on a few batches."""
    if not datamodule.has_validation:
        return 0.0
    batches = len(datamodule.val_dataloader())
    measured = min(batches, 8)
    trainer = make_trainer(**few, limit_val_batches=measured, callbacks=[])
    began = time.perf_counter()
    trainer.validate(model, datamodule=datamodule, verbose=False)
    return (time.perf_counter() - began) * batches / measured

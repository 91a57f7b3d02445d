"""``Trainer(callbacks=[BadgeCallback()])``: while a model trains, an ordering of its pool."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import rank_zero_info, rank_zero_warn
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_badge.callback.context import strategy_context
from lightning_badge.callback.duration import estimate_duration
from lightning_badge.callback.logging import log_numbers, log_pictures
from lightning_badge.callback.pool_source import labeled_loader, pool_source
from lightning_badge.callback.strategy_args import check_strategy_args
from lightning_badge.callback.trainer_checks import (
    is_last_validation_of_epoch,
    is_trial,
    reject_backend,
    reject_several_processes,
    warn_of_averaging,
    warn_without_validation,
)
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.pool import CapturedPool, capture_pool
from lightning_badge.capture.posterior import dropout_layers
from lightning_badge.capture.reader import pool_size
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import LOSSES
from lightning_badge.kernels.registry import check_backend
from lightning_badge.ordering import STRATEGIES, Ordering, order
from lightning_badge.ordering_file import write_ordering

_LARGE_POOL = 200_000


class BadgeCallback(Callback):
    """Orders the pool so that labeling any first part of it teaches the model most.

    In ``fit`` that happens after the last validation of an epoch, in ``trainer.validate`` always.
    The ordering goes to a Parquet file that `read_ordering` reads. Training is not touched: its
    weights, losses, shuffles and logs are those of a run without the callback.

    The pool is the ``pool`` loader, or else what ``pool_dataloader()`` of the datamodule or of the
    module returns, or else their ``predict_dataloader()``. Strategies that keep away from the
    labeled set take it from the datamodule's ``labeled_dataloader()``.

    Args:
        strategy: A name in ``STRATEGIES``.
        k: Ranks to order; None orders the whole pool.
        seed: Of the strategy's draws.
        dirpath: Folder of the file; ``badge`` in the Trainer's log folder where None.
        filename: Name of the file, written over each time.
        head: Name of the classifier head, such as ``model.fc``; None finds it.
        loss: Whose gradient to embed: ``cross_entropy``; ``binary_cross_entropy``, for multi-label
            models too; ``auto`` takes the latter for a single output and the former for several.
        first_center: Short for ``strategy_args={"first_center": ...}``: ``uniform`` or
            ``max_norm``, for strategies that grow from a first center.
        bias: Whether the gradient of the head's bias is embedded too.
        posterior_samples: Passes over the pool with the model's dropout layers at work, for
            strategies that need a posterior.
        every_n_epochs: Order in every n-th epoch of ``fit``.
        during_fit: Whether to order in ``fit`` at all.
        pool: Loader of the pool, unshuffled.
        sample_id_key: Entry of each batch that holds the sample ids: a key of dict batches, a field
            of dataclasses and named tuples, or a position in tuples. Batches of
            `ActiveLearningDataModule` carry ids of their own; for all others ids are positions in
            the loader's data set, or in the data set of which that is a ``Subset``.
        backend: Who computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        round: Of a loop of rounds, for the file's metadata.
        log_pictures: Whether loggers that take images are shown the first picks, where samples are
            images, and the coverage.
        strategy_args: The strategy's own arguments, such as ``{"depth": 40}`` of ``batchbald``.
        keep_embedding: Whether ``embedding`` stays after an ordering, on the model's device, until
            the next one; as large as activations and logits of the whole pool.

    Attributes:
        ordering: The last ordering, None before the first one.
        embedding: The `GradientEmbedding` of the last ordering, never in checkpoints; None before
            the first one, and always None without ``keep_embedding``.
        last_ordering_path: The last file written.
        n_orderings: How many orderings were made, over resumed runs too.

    Raises:
        MisconfigurationException: Arguments out of range, or that the strategy does not take; no
            pool; more than one process.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> badge = BadgeCallback(k=1000, strategy_args={"first_center": "max_norm"})
        >>> trainer = Trainer(callbacks=[badge], logger=False)
    """

    def __init__(
        self,
        strategy: str = "badge",
        k: int | None = None,
        seed: int = 0,
        dirpath: str | Path | None = None,
        filename: str = "ordering.parquet",
        head: str | None = None,
        loss: str = "auto",
        first_center: str | None = None,
        bias: bool = False,
        posterior_samples: int = 20,
        every_n_epochs: int = 1,
        during_fit: bool = True,
        pool: DataLoader[Any] | None = None,
        sample_id_key: str | int | None = None,
        backend: str = "auto",
        round: int | None = None,
        log_pictures: bool = True,
        strategy_args: dict[str, Any] | None = None,
        keep_embedding: bool = False,
    ) -> None:
        super().__init__()
        _check_choice("loss", loss, ("auto", *LOSSES))
        _check_integer("k", 1 if k is None else k, least=1)
        _check_integer("seed", seed, least=0)
        _check_integer("every_n_epochs", every_n_epochs, least=1)
        _check_integer("posterior_samples", posterior_samples, least=1)
        try:
            self.strategy_args = check_strategy_args(
                strategy, strategy_args, first_center=first_center
            )
            check_backend(backend)
        except BadgeError as error:
            raise MisconfigurationException(f"BadgeCallback: {error}") from error
        self.strategy = strategy
        self.k = k
        self.seed = seed
        self.dirpath = dirpath
        self.filename = filename
        self.head = head
        self.loss = loss
        self.bias = bias
        self.posterior_samples = posterior_samples
        self.every_n_epochs = every_n_epochs
        self.during_fit = during_fit
        self.pool = pool
        self.sample_id_key = sample_id_key
        self.backend = backend
        self.round = round
        self.log_pictures = log_pictures
        self.keep_embedding = keep_embedding
        self.ordering: Ordering | None = None
        self.embedding: GradientEmbedding | None = None
        self.last_ordering_path: Path | None = None
        self.n_orderings = 0
        self._checkpoint: dict[str, Any] = {}
        self._told_duration = False

    @property
    @override
    def state_key(self) -> str:
        """Tells the states of several of these callbacks apart in one checkpoint."""
        return self._generate_state_key(
            strategy=self.strategy,
            strategy_args=dict(sorted(self.strategy_args.items())),
            seed=self.seed,
            dirpath=None if self.dirpath is None else str(self.dirpath),
            filename=self.filename,
        )

    @override
    def state_dict(self) -> dict[str, Any]:
        """Returns plain values: checkpoints are read with ``weights_only=True``."""
        path = self.last_ordering_path
        return {
            "last_ordering_path": None if path is None else str(path),
            "n_orderings": self.n_orderings,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up where a checkpoint left off."""
        path = state_dict["last_ordering_path"]
        self.last_ordering_path = None if path is None else Path(path)
        self.n_orderings = state_dict["n_orderings"]

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out before the first step what would else fail after an epoch."""
        self._checkpoint = {}
        if stage == "validate" or (stage == "fit" and self.during_fit):
            reject_several_processes(trainer)
            reject_backend(trainer, self.backend)
            pool_source(trainer, pl_module, self.pool)
            labeled_loader(trainer, STRATEGIES[self.strategy])
            if "posterior" in STRATEGIES[self.strategy].uses:
                dropout_layers(pl_module)

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remembers of which step the weights are: ``trainer.validate`` does not restore it."""
        steps = ("global_step", "epoch")
        self._checkpoint = {key: checkpoint[key] for key in steps if key in checkpoint}

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warns of what makes ``fit`` order nothing, or other weights than expected."""
        if self.during_fit:
            warn_without_validation(trainer)
            warn_of_averaging(trainer)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Orders the pool if this is a moment to."""
        if self._should_order(trainer):
            self._order_pool(trainer, pl_module)

    def _should_order(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return False
        if trainer.state.fn == TrainerFn.VALIDATING:
            return True
        is_due = is_trial(trainer) or (trainer.current_epoch + 1) % self.every_n_epochs == 0
        return self.during_fit and is_due and is_last_validation_of_epoch(trainer)

    def _order_pool(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.embedding = None  # before the next one is made, which may need its memory
        with untouched_random_state():
            loader = pool_source(trainer, pl_module, self.pool)()
            if pool_size(loader) == 0:
                self.ordering = None
                rank_zero_warn("BadgeCallback: the pool is empty; no ordering was made")
                return
            started = time.perf_counter()
            captured = capture_pool(
                trainer, pl_module, loader, head=self.head, sample_id_key=self.sample_id_key
            )
            embedding = self._embed(captured)
            context = strategy_context(
                self.strategy,
                trainer,
                pl_module,
                loader,
                embedding,
                embed=self._embed,
                head=captured.head_name,
                sample_id_key=self.sample_id_key,
                samples=self.posterior_samples,
                seed=self.seed,
            )
            captured_at = time.perf_counter()
            ordering = self._order(embedding, context)
            ordered_at = time.perf_counter()
        if not self.n_orderings:
            rank_zero_info(f"BadgeCallback: sample ids are {captured.id_source}")
        found = {"head": captured.head_name, "sample_id_source": captured.id_source}
        origin = {**self._origin(trainer), **found}
        self.ordering = replace(ordering, metadata={**ordering.metadata, **origin})
        self.embedding = embedding if self.keep_embedding else None
        self.n_orderings += 1
        if not is_trial(trainer):
            self.last_ordering_path = write_ordering(self.ordering, self._path(trainer))
        seconds = {"capture": captured_at - started, "ordering": ordered_at - captured_at}
        log_numbers(trainer, embedding, ordering, seconds)
        if self.log_pictures:
            log_pictures(trainer, self.ordering, loader, captured.sample_ids)

    def _embed(self, captured: CapturedPool) -> GradientEmbedding:
        return captured.embedding(loss=self.loss, bias=self.bias, backend=self.backend)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _order(self, embedding: GradientEmbedding, context: dict[str, Any]) -> Ordering:
        arguments = {"seed": self.seed, "backend": self.backend, **context, **self.strategy_args}
        run = partial(order, embedding, self.strategy, **arguments)
        self._tell_duration_once(embedding, run)
        return run(k=self.k)

    def _tell_duration_once(
        self, embedding: GradientEmbedding, run: Callable[..., Ordering]
    ) -> None:
        n, device = len(embedding), embedding.logit_grad.device.type
        if n <= _LARGE_POOL or device != "cpu" or self._told_duration:
            return
        self._told_duration = True
        ranks = n if self.k is None else min(self.k, n)
        duration = estimate_duration(lambda k: run(k=k), ranks)
        rank_zero_warn(
            f"BadgeCallback: ordering {ranks:,} of {n:,} samples on the CPU will take about "
            f"{duration} (h:mm:ss); k=... orders only the first k"
        )

    def _origin(self, trainer: Trainer) -> dict[str, Any]:
        """Returns which weights an ordering comes from, for its metadata."""
        is_fit = trainer.state.fn == TrainerFn.FITTING
        now = {"global_step": trainer.global_step, "epoch": trainer.current_epoch}
        # In fit, ckpt_path is what the run was resumed from: not these weights.
        checkpoint = None if is_fit or trainer.ckpt_path is None else str(trainer.ckpt_path)
        loaded = self._checkpoint if checkpoint else {}
        return {"round": self.round, "checkpoint": checkpoint, **now, **loaded}

    def _path(self, trainer: Trainer) -> Path:
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "badge"
        return (folder if self.dirpath is None else Path(self.dirpath)) / self.filename


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected one of {', '.join(choices)}, got {value!r}"
        )


def _check_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected an integer of {least} or more, got {value!r}"
        )

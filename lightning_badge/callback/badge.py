"""``Trainer(callbacks=[BadgeCallback()])``: orders the pool by the model that is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_badge.callback.announce import announce_ordering
from lightning_badge.callback.arguments import check_choice, check_integer
from lightning_badge.callback.connected import connected
from lightning_badge.callback.file_place import reject_shared_file, state_of_other_folder
from lightning_badge.callback.logging import log_numbers, log_pictures
from lightning_badge.callback.pool_ordering import check_can_order, order_pool, try_pool
from lightning_badge.callback.schedule import WHEN, Schedule, When
from lightning_badge.callback.strategy_args import check_strategy_args
from lightning_badge.callback.trainer_checks import (
    is_trial,
    weights_of,
)
from lightning_badge.callback.weight_averaging import prepare_for_averages
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import LOSSES
from lightning_badge.kernels.registry import check_backend
from lightning_badge.namespaces import join_namespaces
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import write_ordering


class BadgeCallback(Callback):
    """Orders the pool so that labeling any first part of it teaches the model most.

    ``when`` says at which moments of ``fit`` that happens; each ``trainer.validate`` orders when it
    ends (with ``ckpt_path="best"`` by the best weights). The ordering goes to a Parquet file that
    `read_ordering` reads. Training is not touched: its weights, losses, shuffles and logs are those
    of a run without the callback.

    The pool is the ``pool`` loader, or else what ``pool_dataloader()`` of the datamodule or of the
    module returns, or else their ``predict_dataloader()``. Strategies that use the labeled
    set take it from the datamodule's ``labeled_dataloader()``.

    The model runs on a batch by ``predict_step(batch, batch_idx)`` where its class overrides that,
    else by ``forward`` with the first entry of a tuple or list, the entries of a dict that
    ``forward`` names, or the whole batch. To run it in another way, define ``predict_step``.

    Args:
        strategy: A name in ``STRATEGIES``.
        k: Ranks to order; None orders the whole pool.
        seed: Of the strategy's draws.
        dirpath: Folder of the file; ``badge`` in the Trainer's log folder where None.
        filename: Name of the file, written over each time.
        head: Name of the classifier head, such as ``model.fc``; None finds it.
        loss: Whose gradient to embed: ``cross_entropy``; ``binary_cross_entropy``, for multi-label
            models too; ``auto`` takes the one that the model and its data show, as `choose_loss`
            does, says which and why, and refuses regression.
        first_center: Short for ``strategy_args={"first_center": ...}``: ``uniform`` or
            ``max_norm``, for strategies that grow from a first center.
        bias: Whether the gradient of the head's bias is embedded too.
        posterior_samples: Passes over the pool with the model's dropout layers active, for
            strategies that need a posterior.
        when: ``last_validation`` orders once in a ``fit``, by the weights with which it ends,
            whatever ends it; the cost is one pass over the pool and one ordering.
            ``every_validation`` pays that after every ``every_n``-th validation, each file
            replacing the last. ``never`` orders in ``trainer.validate`` alone.
        every_n: Of ``every_validation``: after every n-th validation.
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
        told: What was said already and is not said again.

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
        when: When = "last_validation",
        every_n: int = 1,
        pool: DataLoader[Any] | None = None,
        sample_id_key: str | int | None = None,
        backend: str = "auto",
        round: int | None = None,
        log_pictures: bool = True,
        strategy_args: dict[str, Any] | None = None,
        keep_embedding: bool = False,
    ) -> None:
        join_namespaces(BadgeCallback, "Callback")
        super().__init__()
        check_choice("loss", loss, ("auto", *LOSSES))
        check_integer("k", 1 if k is None else k, least=1)
        check_integer("seed", seed, least=0)
        check_choice("when", when, WHEN)
        check_integer("every_n", every_n, least=1)
        check_integer("posterior_samples", posterior_samples, least=1)
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
        self.schedule = Schedule(when, every_n)
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
        self.told: set[str] = set()

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
            "n_validations": self.schedule.n_validations,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state of a checkpoint."""
        path = state_dict["last_ordering_path"]
        self.last_ordering_path = None if path is None else Path(path)
        self.n_orderings = state_dict["n_orderings"]
        self.schedule.n_validations = state_dict.get("n_validations", 0)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks before the first step that the pool can be ordered."""
        self._checkpoint = {}
        if stage == "validate" or (stage == "fit" and self.schedule.in_fit):
            check_can_order(trainer, pl_module, self)
            reject_shared_file(self, trainer)

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keeps of which step the weights are, which ``trainer.validate`` does not restore.

        A state that was saved under another ``dirpath`` is taken over.
        """
        if state := state_of_other_folder(self, trainer, checkpoint):
            self.load_state_dict(state)
        steps = ("global_step", "epoch")
        self._checkpoint = {key: checkpoint[key] for key in steps if key in checkpoint}

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tries one batch of the pool, so that errors come before the first step."""
        self.schedule.start_fit()
        if self.schedule.in_fit:
            prepare_for_averages(trainer, self, self.schedule)
            try_pool(trainer, pl_module, self, self.schedule, self.ordering_path(trainer))

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Orders the pool where ``when`` says so, and always in ``trainer.validate``."""
        if self.schedule.after_validation(trainer):
            self._order_pool(trainer, pl_module)
            self.schedule.record(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Orders the pool where no validation did so by the final weights."""
        if self.schedule.at_train_end(trainer, pl_module):
            self._order_pool(trainer, pl_module)

    def order_now(self, trainer: Trainer, pl_module: LightningModule) -> Ordering | None:
        """Orders the pool by the weights that a module has now, at any moment.

        Works during ``fit`` and ``validate``, after them, and with a Trainer that never ran; needs
        no validation data. The file is written as after a validation.

        Args:
            trainer: Whose device, precision, loggers and datamodule to use.
            pl_module: The model.

        Returns:
            The ordering; None of an empty pool.

        Raises:
            MisconfigurationException: No pool; more than one process.

        Example:
            >>> badge.order_now(trainer, model).take(100)  # doctest: +SKIP
        """
        check_can_order(trainer, pl_module, self)
        with connected(trainer, pl_module):
            self._order_pool(trainer, pl_module)
        return self.ordering

    def _order_pool(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.embedding = None  # before the next one is made, which may need its memory
        if (ordered := order_pool(trainer, pl_module, self)) is None:
            self.ordering = None
            rank_zero_warn("BadgeCallback: the pool is empty; no ordering was made")
            return
        weights = {"round": self.round, **weights_of(trainer, self._checkpoint)}
        metadata = {**ordered.ordering.metadata, **weights}
        self.ordering = replace(ordered.ordering, metadata=metadata)
        self.embedding = ordered.embedding if self.keep_embedding else None
        self.n_orderings += 1
        if not is_trial(trainer):
            self.last_ordering_path = write_ordering(self.ordering, self.ordering_path(trainer))
        announce_ordering(trainer, self.ordering, self.last_ordering_path, ordered.seconds)
        log_numbers(trainer, ordered.embedding, self.ordering, ordered.seconds)
        if self.log_pictures:
            log_pictures(trainer, self.ordering, ordered.loader, ordered.sample_ids)

    def ordering_path(self, trainer: Trainer) -> Path:
        """Returns where the ordering file goes."""
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "badge"
        return (folder if self.dirpath is None else Path(self.dirpath)) / self.filename


join_namespaces(BadgeCallback, "Callback")

"""``Trainer(callbacks=[BadgeCallback()])``: orders the pool with the trained model."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.utilities import rank_zero_warn
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_badge.callback.announce import announce_ordering
from lightning_badge.callback.arguments import checked_arguments
from lightning_badge.callback.connected import connected
from lightning_badge.callback.file_place import reject_shared_file, state_of_other_folder
from lightning_badge.callback.logging import log_numbers, log_pictures
from lightning_badge.callback.pool_ordering import check_can_order, order_pool, try_pool
from lightning_badge.callback.schedule import WHEN, Schedule, When
from lightning_badge.callback.strategy_args import check_strategy_args
from lightning_badge.callback.trainer_checks import (
    due_anywhere,
    find_backend,
    is_trial,
    trainer_peers,
    weights_of,
)
from lightning_badge.callback.weight_averaging import prepare_for_averages
from lightning_badge.capture.progress import end_if_asked
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_folder import EMBEDDING, write_embedding_folder
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.registry import check_backend
from lightning_badge.namespaces import join_namespaces
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import write_ordering
from lightning_badge.review_file import NAME, Review, write_review


class BadgeCallback(Callback):
    """Orders the pool so that any prefix of the ordering is a good batch to label.

    ``when`` selects the moments of ``fit`` at which the pool is ordered. ``trainer.validate``
    always orders when it ends; with ``ckpt_path="best"`` it uses the best weights. The ordering is
    written to a Parquet file that `read_ordering` reads. Training does not change: weights, losses,
    shuffles and logs are the same as without the callback.

    The pool is the first of these that exists: the ``pool`` loader, ``pool_dataloader()`` of the
    datamodule or module, ``predict_dataloader()`` of either. Strategies that use the labeled set
    take it from the datamodule's ``labeled_dataloader()``.

    With several processes (DDP, FSDP) each captures every n-th batch of the pool, and they compute
    the ordering together: it is that of one process, wherever the captured numbers are equal. Rank
    zero writes the file, and ``ordering`` is the same on all.

    The callback runs the model on a batch with ``predict_step(batch, batch_idx)`` if its class
    overrides that method. Otherwise it calls ``forward`` with the first entry of a tuple or list,
    with the entries of a dict that ``forward`` accepts as keywords, or with the whole batch. Define
    ``predict_step`` to run the model in another way.

    Args:
        strategy: A name in ``STRATEGIES``.
        k: Ranks to order; None orders the whole pool.
        seed: Seed of the strategy's random draws.
        dirpath: Folder of the file; None for ``badge`` in the Trainer's log folder.
        filename: Name of the file. Each ordering replaces it.
        head: Name of the classifier head, such as ``model.fc``; None finds it.
        loss: The loss whose gradient is embedded: ``cross_entropy``, or ``binary_cross_entropy``
            for binary and multi-label models. ``auto`` chooses from the model and its data as
            `choose_loss` does, logs the choice with its reason, and refuses regression.
        first_center: Short for ``strategy_args={"first_center": ...}``: ``uniform`` or
            ``max_norm``, for strategies that start from a first center.
        bias: Whether to embed the gradient of the head's bias too.
        posterior_samples: Passes over the pool with the model's dropout layers active, for
            strategies that need a posterior.
        when: ``last_validation`` orders once per ``fit``, with the final weights, whatever ends it.
            This costs one pass over the pool and one ordering. ``every_validation`` has this cost
            after every ``every_n``-th validation, and each file replaces the last. ``never`` orders
            only in ``trainer.validate``.
        every_n: With ``every_validation``: order after every n-th validation.
        pool: Loader of the pool, unshuffled.
        sample_id_key: Entry of each batch that holds the sample ids: a key of dict batches, a field
            of dataclasses and named tuples, or a position in tuples. Batches of
            `ActiveLearningDataModule` contain their ids. Otherwise ids are positions in the
            loader's data set; if that is a ``Subset``, positions in the data set it was taken from.
        backend: The back end that computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        round: Round number of an active learning loop, for the file's metadata.
        log_pictures: Whether to log the first picks (if samples are images) and the coverage curve
            to loggers that accept images.
        strategy_args: The strategy's own arguments, such as ``{"depth": 40}`` of ``batchbald``.
        keep_embedding: Whether to keep ``embedding`` on the model's device until the next ordering.
            It is as large as the activations and logits of the whole pool.
        write_embedding: Whether to write the pool's embedding into the folder ``embedding`` beside
            the ordering, with which samples that arrive later can be ranked. It is as large as
            the activations and logits of the whole pool.
        nearest_labeled: With 1 or more, also writes ``review.parquet`` beside the ordering: the
            model's prediction for each sample of the pool and of the datamodule's
            ``labeled_dataloader()``, and this many nearest labeled samples of each sample of the
            pool, by the activations that enter the head. Costs a pass over the labeled set.

    Attributes:
        ordering: The last ordering, None before the first one.
        embedding: The `GradientEmbedding` of the last ordering, never in checkpoints; None before
            the first one, and always None without ``keep_embedding``. With several processes, the
            rows that this process captured.
        last_ordering_path: The last file written.
        n_orderings: Number of orderings, including those before a resume.
        told: Messages that were logged already and are not repeated.

    Raises:
        MisconfigurationException: An argument is out of range or unknown to the strategy, there is
            no pool, or several processes cannot compute the strategy.

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
        nearest_labeled: int = 0,
        write_embedding: bool = False,
    ) -> None:
        join_namespaces(BadgeCallback, "Callback")
        super().__init__()
        given = checked_arguments(
            {
                "strategy": strategy,
                "k": k,
                "seed": seed,
                "round": round,
                "pool": pool,
                "dirpath": dirpath,
                "filename": filename,
                "head": head,
                "loss": loss,
                "first_center": first_center,
                "bias": bias,
                "when": when,
                "every_n": every_n,
                "posterior_samples": posterior_samples,
                "sample_id_key": sample_id_key,
                "backend": backend,
                "log_pictures": log_pictures,
                "keep_embedding": keep_embedding,
                "nearest_labeled": nearest_labeled,
                "write_embedding": write_embedding,
            },
            WHEN,
        )
        try:
            self.strategy_args = check_strategy_args(
                strategy, strategy_args, first_center=first_center
            )
            check_backend(backend)
        except BadgeError as error:
            raise MisconfigurationException(f"BadgeCallback: {error}") from error
        self.strategy = strategy
        self.k: int | None = given["k"]
        self.seed: int = given["seed"]
        self.dirpath = dirpath
        self.filename = filename
        self.head = head
        self.loss = loss
        self.bias: bool = given["bias"]
        self.posterior_samples: int = given["posterior_samples"]
        self.schedule = Schedule(when, given["every_n"])
        self.pool = pool
        self.sample_id_key: str | int | None = given["sample_id_key"]
        self.backend = backend
        self.round: int | None = given["round"]
        self.log_pictures: bool = given["log_pictures"]
        self.keep_embedding: bool = given["keep_embedding"]
        self.nearest_labeled: int = given["nearest_labeled"]
        self.write_embedding: bool = given["write_embedding"]
        self.ordering: Ordering | None = None
        self.embedding: GradientEmbedding | None = None
        self.last_ordering_path: Path | None = None
        self.n_orderings = 0
        self._checkpoint: dict[str, Any] = {}
        self.told: set[str] = set()

    @property
    @override
    def state_key(self) -> str:
        """Distinguishes the states of several of these callbacks in one checkpoint."""
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
        elif stage == "fit":
            find_backend(trainer, self.backend)

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remembers step and epoch of the weights, which ``trainer.validate`` does not restore.

        Also restores a state that was saved under another ``dirpath``.
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
        """Orders the pool if ``when`` says so, and always in ``trainer.validate``."""
        if due_anywhere(trainer, self.schedule.after_validation(trainer)):
            self._order_pool(trainer, pl_module)
            self.schedule.record(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Orders the pool if no validation ordered it with the final weights."""
        if due_anywhere(trainer, self.schedule.at_train_end(trainer, pl_module)):
            self._order_pool(trainer, pl_module)

    def order_now(self, trainer: Trainer, pl_module: LightningModule) -> Ordering | None:
        """Orders the pool with the current weights of a module, at any moment.

        Works during and after ``fit`` and ``validate``, and with a Trainer that never ran. It needs
        no validation data. It writes the file as after a validation.

        Args:
            trainer: The Trainer whose device, precision, loggers and datamodule are used.
            pl_module: The model.

        Returns:
            The ordering; None if the pool is empty.

        Raises:
            MisconfigurationException: There is no pool, several processes cannot compute the
                strategy, or the Trainer's processes are not running.

        Example:
            >>> badge.order_now(trainer, model).take(100)  # doctest: +SKIP
        """
        check_can_order(trainer, pl_module, self)
        with connected(trainer, pl_module):
            self._order_pool(trainer, pl_module)
        return self.ordering

    def _order_pool(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.embedding = None  # frees its memory before the next one is computed
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
            path = self.ordering_path(trainer)  # on all processes: Lightning broadcasts it
            embedding = ordered.embedding if self.write_embedding else None
            write = partial(_write, self.ordering, ordered.review, embedding, path)
            trainer_peers(trainer).agree(write if trainer.is_global_zero else lambda: None)
            self.last_ordering_path = path
        end_if_asked(trainer)
        announce_ordering(trainer, self.ordering, self.last_ordering_path, ordered.seconds)
        log_numbers(trainer, ordered.embedding, self.ordering, ordered.seconds)
        if self.log_pictures and trainer.is_global_zero:
            log_pictures(trainer, self.ordering, ordered.loader, ordered.sample_ids)

    def ordering_path(self, trainer: Trainer) -> Path:
        """Returns the path of the ordering file."""
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "badge"
        return (folder if self.dirpath is None else Path(self.dirpath)) / self.filename


def _write(
    ordering: Ordering, review: Review | None, embedding: GradientEmbedding | None, path: Path
) -> None:
    if review is not None:
        write_review(review, path.with_name(NAME))
    if embedding is not None:
        write_embedding_folder(embedding, path.with_name(EMBEDDING))
    write_ordering(ordering, path)


join_namespaces(BadgeCallback, "Callback")

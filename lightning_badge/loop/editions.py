"""Editions of a round's ordering: made again, with the round's model, for samples that arrived.

Published ranks never change: those of samples that are leased, answered or exported. The others
are ranked anew together with the samples that arrived, the published ones being centers. Each
edition is a file of its own, whose metadata name the one before it.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule

from lightning_badge.capture import capture
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.durable.digest import sha256_of
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_folder import EMBEDDING, read_embedding_folder
from lightning_badge.exceptions import BadgeError
from lightning_badge.loop.cold_start import COLD_STARTS
from lightning_badge.loop.train_round import round_seed
from lightning_badge.ordering import STRATEGIES, Ordering
from lightning_badge.ordering.successor import novelty, rank_again, successor
from lightning_badge.ordering_file import write_ordering
from lightning_badge.sample_ids import SampleId, fingerprint, is_in
from lightning_badge.store.allowance import allow, allowed
from lightning_badge.store.next_sample import Query
from lightning_badge.store.round_files import damage_of_checkpoint
from lightning_badge.store.run_directory import RunDirectory, edition_of

_SURPRISING = 1e-3  # p-value
_log = logging.getLogger(__name__)


class Editions:
    """Makes the ordering of a round again when samples arrive.

    Args:
        datamodule: The data; they hold the samples that arrived.
        make_model: Builds a model, without its weights.
        run_directory: Holds orderings, checkpoints and embeddings of the rounds.
        seed: Seeds every draw, together with round and edition.
    """

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        make_model: Callable[[], LightningModule],
        run_directory: RunDirectory,
        *,
        seed: int,
    ) -> None:
        self._data, self._make_model = datamodule, make_model
        self._directory, self._seed = run_directory, seed
        self._told: set[str] = set()
        # Rows of samples that arrived, by the weights of a round.
        self._captured: tuple[int, GradientEmbedding] | None = None

    def publish(
        self, query: Query, exported: Collection[SampleId], *, last_sample: int
    ) -> Ordering | None:
        """Makes the next edition of a query's ordering, and publishes it.

        Args:
            query: The query; its ordering is the newest edition.
            exported: Samples that labelers have outside the run, such as in a file.
            last_sample: Sequence number of the last sample that the data hold.

        Returns:
            The edition; None if these samples wait for the next round, because their activations
            cannot be had.
        """
        try:
            others = self._rank(query, exported)
        except (BadgeError, RuntimeError, OSError) as error:
            self._tell(
                "arrivals",
                f"round {query.round:03d}: samples that arrived wait for the next round, because "
                f"they cannot be ranked now: {error}",
            )
            return None
        arrived = others.sample_ids[~is_in(others.sample_ids, query.ordering.sample_ids)].tolist()
        self._say_if_new(others, arrived)
        before = self._directory.ordering_path(query.round)
        edition = edition_of(before) + 1
        facts = {
            "edition": edition,
            "parent": {"file": before.name, "sha256": sha256_of(before)},
            "last_sample": last_sample,
            "arrived": len(arrived),
            "pool_fingerprint": fingerprint(self._data.pool_ids),
        }
        with query.store.leases.transaction():
            published = query.published().union(exported).intersection(query.ordering)
            made = successor(query.ordering, others, published)
            metadata = {**made.metadata, **facts, "published": len(published)}
            made = replace(made, metadata=metadata)
            write_ordering(made, self._directory.ordering_path(query.round, edition))
            now = allowed(query.store.changes) or {}
            allow(query.store.changes, query.round, now.get("labels"), edition=edition)
        return made

    def _rank(self, query: Query, exported: Collection[SampleId]) -> Ordering:
        metadata = query.ordering.metadata
        published = query.published().union(exported)
        # In the order of their ranks.
        in_order = [key for key in query.ordering if key in published]
        edition = int(metadata.get("edition", 0)) + 1
        arguments: dict[str, Any] = {"seed": round_seed(self._seed, query.round) + edition}
        if (name := metadata.get("cold_start")) is not None:
            pool = self._data.cold_start()
            return rank_again(pool, None, in_order, COLD_STARTS[name][0], **arguments)
        strategy = str(metadata.get("strategy"))
        if strategy not in STRATEGIES:
            raise BadgeError(f"its ordering has no known strategy, but {strategy!r}")
        if "posterior" in STRATEGIES[strategy].uses:
            raise BadgeError(f"strategy={strategy} needs passes with dropout over the whole pool")
        whole = read_embedding_folder(self._directory.round_path(query.round) / EMBEDDING)
        before = self._ranked_before(query, whole)
        arrived = self._data.pool_ids
        for known in (whole, before):  # the ordering may have only a part of the pool
            arrived = arrived[~is_in(arrived, known.sample_ids)]
        newcomers = None
        if len(arrived):
            newcomers = self._capture(query, arrived.tolist(), before)
        if "labeled" in STRATEGIES[strategy].uses:
            arguments["labeled"] = self._labeled(query, before)
        arguments["strategy_args"] = metadata.get("strategy_args", {})
        return rank_again(before, newcomers, in_order, strategy, **arguments)

    def _ranked_before(self, query: Query, pool: GradientEmbedding) -> GradientEmbedding:
        """Returns the rows of the query's ordering: of the round, and captured since then."""
        ranked = query.ordering.sample_ids
        rows = np.flatnonzero(is_in(pool.sample_ids, ranked))
        pool = pool.take(rows)
        later = ranked[~is_in(ranked, pool.sample_ids)].tolist()
        return pool.concatenate(self._capture(query, later, pool)) if later else pool

    def _capture(
        self, query: Query, sample_ids: Sequence[SampleId], like: GradientEmbedding
    ) -> GradientEmbedding:
        """Returns rows of samples by the weights of the round; each is captured once."""
        kept = self._captured
        rows = kept[1] if kept is not None and kept[0] == query.round else None
        known = set() if rows is None else set(rows.sample_ids.tolist())
        if missing := [key for key in sample_ids if key not in known]:
            new = self._forward(query, missing, like)
            rows = new if rows is None else rows.concatenate(new)
            self._captured = query.round, rows
        assert rows is not None, "there is at least one sample"
        place = {key: row for row, key in enumerate(rows.sample_ids.tolist())}
        return rows.take(np.array([place[key] for key in sample_ids], np.int64))

    def _labeled(self, query: Query, like: GradientEmbedding) -> GradientEmbedding:
        return self._forward(query, self._data.labeled_ids.tolist(), like)

    def _forward(
        self, query: Query, sample_ids: Sequence[SampleId], like: GradientEmbedding
    ) -> GradientEmbedding:
        path = self._directory.checkpoint_path(query.round)
        if damage := damage_of_checkpoint(path.parent):
            raise BadgeError(damage)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        with untouched_random_state():
            model = self._make_model()
        model.load_state_dict(saved["state_dict"])
        return capture(
            model,
            self._data.loader_of(sample_ids),
            head=query.ordering.metadata.get("head"),
            loss=str(like.loss),
            bias=like.bias,
        )

    def _say_if_new(self, others: Ordering, arrived: list[SampleId]) -> None:
        found, expected, p_value = novelty(others, arrived)
        if p_value < _SURPRISING:
            self._tell(
                "novelty",
                f"samples that arrived look different from the pool: {found} of {len(arrived)} are "
                f"among the first ranks, where chance gives {expected:.1f} (p = {p_value:.1g})",
            )

    def _tell(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.warning("%s", message)

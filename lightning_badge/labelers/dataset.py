"""Simulated labelers, who know the labels of a data set."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip, as_label
from lightning_badge.sample_ids import SampleId, name_ids
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.next_sample import Query

_AT_ONCE = 256  # samples leased in one transaction


class DatasetLabelers:
    """Simulates a labeler with known labels, for experiments.

    Args:
        labels: The label of every sample that may be asked for, by sample id.
        skip_fraction: The share of samples answered with ``SKIP``, in [0, 1).
        seed: Seed and sample id alone decide whether a sample is skipped, so repeated calls return
            the same answers in any order and after a crash. The samples skipped at one fraction
            are also skipped at every larger one.

    Raises:
        LabelError: ``labels`` is not a mapping, or ``skip_fraction`` is outside [0, 1).
    """

    name = "dataset"

    def __init__(
        self, labels: Mapping[SampleId, Any], *, skip_fraction: float = 0.0, seed: int = 0
    ) -> None:
        if not isinstance(labels, Mapping):
            raise LabelError(
                "labelers.labels: expected a mapping from sample_id to label, got "
                f"{type(labels).__name__}; pass dict(enumerate(labels)) for the default sample ids"
            )
        if not _is_number(skip_fraction) or not 0 <= skip_fraction < 1:
            raise LabelError(
                f"labelers.skip_fraction: expected a number in [0, 1), got {skip_fraction!r}"
            )
        self.labels = labels
        self.skip_fraction = skip_fraction
        self.seed = seed
        self._query: Query | None = None

    def publish(self, query: Query) -> None:
        """Replaces the query."""
        self._query = query

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields an answer to each sample that the allowance permits, one at a time.

        Raises:
            LabelError: A sample has no label.
        """
        if self._query is None:
            return
        given: set[SampleId] = set()
        try:
            while offers := self._query.lease(self.name, _AT_ONCE, annotator=self.name):
                # An answer that was not committed is not given a second time.
                offers = [offer for offer in offers if offer.sample_id not in given]
                if not offers:
                    return
                self._check_known([offer.sample_id for offer in offers])
                for offer in offers:
                    given.add(offer.sample_id)
                    label = self.answer(offer.sample_id)
                    yield [NewAnswer(offer.sample_id, label, self.name, offer.round, offer.rank)]
        finally:
            self._query.release(self.name)

    def to_do(self) -> None:
        """Returns None: simulated labelers answer at once."""

    def close(self) -> None:
        """Does nothing: leases end with ``collect``."""

    def answer(self, sample_id: SampleId) -> Label | Skip:
        """Returns the label of a sample, or ``SKIP``."""
        return SKIP if self._skips(sample_id) else as_label(self.labels[sample_id])

    def _check_known(self, sample_ids: list[SampleId]) -> None:
        if unknown := [sample_id for sample_id in sample_ids if sample_id not in self.labels]:
            known = itertools.islice(self.labels, 3)
            raise LabelError(
                f"labelers: no label for sample ids {name_ids(unknown)}; "
                f"there are {len(self.labels)} labels, for ids such as {name_ids(known)}"
            )

    def _skips(self, sample_id: SampleId) -> bool:
        digest = hashlib.blake2b(f"{self.seed}:{sample_id!r}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.skip_fraction * 2**64


def for_run(
    datamodule: ActiveLearningDataModule,
    run_path: Path,  # noqa: ARG001 - all labelers are built alike
    **arguments: Any,
) -> DatasetLabelers:
    """Builds labelers who know the labels that a datamodule holds back.

    Args:
        datamodule: Knows the label of every sample.
        run_path: Not used.
        **arguments: Those of `DatasetLabelers`.

    Raises:
        LabelError: The labels are not known.
    """
    return DatasetLabelers(datamodule.held_back_labels(), **arguments)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

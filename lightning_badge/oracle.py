"""Oracles: who is asked for labels, and answers in their own time and order."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip, as_label
from lightning_badge.sample_ids import SampleId, as_sample_ids, name_ids


class Oracle(Protocol):
    """Answers with a label or ``SKIP``, one sample at a time."""

    @property
    def name(self) -> str:
        """Who answers: the label store's ``annotator``."""
        ...

    def answer(self, sample_ids: Iterable[SampleId]) -> Iterator[tuple[SampleId, Label | Skip]]:
        """Yields answers as they arrive.

        They may come in any order, and some ids may get none. Whoever asks may stop listening at
        any time, so an answer costs nothing before it is drawn from the iterator.

        Args:
            sample_ids: The ids to label, most wanted first.
        """
        ...


class DatasetOracle:
    """Reveals labels that were held back: a labeler for experiments.

    Args:
        labels: The label of every sample that may be asked for.
        skip_fraction: The share of samples that get ``SKIP``, in [0, 1).
        seed: Together with the sample id it decides who is skipped, so asking again, in any order
            and after any crash, gives the same answer; a larger fraction skips the same and more.

    Raises:
        LabelError: Labels that are not a mapping, or a fraction outside [0, 1).

    Example:
        >>> list(DatasetOracle({"a": 0, "b": 1}).answer(["b"]))
        [('b', 1)]
    """

    name = "dataset"

    def __init__(
        self, labels: Mapping[SampleId, Any], *, skip_fraction: float = 0.0, seed: int = 0
    ) -> None:
        if not isinstance(labels, Mapping):
            raise LabelError(
                "oracle.labels: expected a mapping from sample_id to label, got "
                f"{type(labels).__name__}; pass dict(enumerate(labels)) for the default sample ids"
            )
        if not _is_number(skip_fraction) or not 0 <= skip_fraction < 1:
            raise LabelError(
                f"oracle.skip_fraction: expected a number in [0, 1), got {skip_fraction!r}"
            )
        self.labels = labels
        self.skip_fraction = skip_fraction
        self.seed = seed

    def answer(self, sample_ids: Iterable[SampleId]) -> Iterator[tuple[SampleId, Label | Skip]]:
        """Yields a label or ``SKIP`` for every id, in the order asked.

        Raises:
            LabelError: Ids that have no label here; at the call, before any answer.
        """
        asked: list[SampleId] = as_sample_ids(sample_ids, unique=False).tolist()
        if unknown := [sample_id for sample_id in asked if sample_id not in self.labels]:
            known = itertools.islice(self.labels, 3)
            raise LabelError(
                f"oracle: no label for sample ids {name_ids(unknown)}; "
                f"it holds {len(self.labels)} labels, of ids such as {name_ids(known)}"
            )
        return ((sample_id, self._answer_one(sample_id)) for sample_id in asked)

    def _answer_one(self, sample_id: SampleId) -> Label | Skip:
        return SKIP if self._skips(sample_id) else as_label(self.labels[sample_id])

    def _skips(self, sample_id: SampleId) -> bool:
        digest = hashlib.blake2b(f"{self.seed}:{sample_id!r}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.skip_fraction * 2**64


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

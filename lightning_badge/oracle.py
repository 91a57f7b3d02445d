"""Oracles: sources of labels, which may answer in any order and at any time."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip, as_label
from lightning_badge.sample_ids import SampleId, as_sample_ids, name_ids


class Oracle(Protocol):
    """Answers samples one at a time, each with a label or ``SKIP``."""

    @property
    def name(self) -> str:
        """The name stored as ``annotator`` in the label store."""
        ...

    def answer(self, sample_ids: Iterable[SampleId]) -> Iterator[tuple[SampleId, Label | Skip]]:
        """Yields answers as they arrive.

        Answers may come in any order, and some ids may get none. The caller may stop iterating at
        any time, so the oracle must not spend labeling effort on an answer before it is requested.

        Args:
            sample_ids: The ids to label, highest priority first.
        """
        ...


class DatasetOracle:
    """Simulates a labeler with known labels, for experiments.

    Args:
        labels: The label of every sample that may be asked for, by sample id.
        skip_fraction: The share of samples answered with ``SKIP``, in [0, 1).
        seed: Seed and sample id alone decide whether a sample is skipped, so repeated calls return
            the same answers in any order and after a crash. The samples skipped at one fraction
            are also skipped at every larger one.

    Raises:
        LabelError: ``labels`` is not a mapping, or ``skip_fraction`` is outside [0, 1).

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
        """Yields a label or ``SKIP`` for every id, in the given order.

        Raises:
            LabelError: An id has no label. Raised by the call itself, before the first answer.
        """
        asked: list[SampleId] = as_sample_ids(sample_ids, unique=False).tolist()
        if unknown := [sample_id for sample_id in asked if sample_id not in self.labels]:
            known = itertools.islice(self.labels, 3)
            raise LabelError(
                f"oracle: no label for sample ids {name_ids(unknown)}; "
                f"it holds {len(self.labels)} labels, for ids such as {name_ids(known)}"
            )
        return ((sample_id, self._answer_one(sample_id)) for sample_id in asked)

    def _answer_one(self, sample_id: SampleId) -> Label | Skip:
        return SKIP if self._skips(sample_id) else as_label(self.labels[sample_id])

    def _skips(self, sample_id: SampleId) -> bool:
        digest = hashlib.blake2b(f"{self.seed}:{sample_id!r}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.skip_fraction * 2**64


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

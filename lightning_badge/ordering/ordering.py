"""`Ordering`: sample ids, best first, with gain, label, confidence and coverage of each rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import OrderingError
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids


@dataclass(frozen=True, eq=False)
class Ordering:
    """The samples of a pool in the order in which to label them, or a prefix of that order.

    Attributes:
        sample_ids: Distinct ids ``[k]``, best first; the index is the rank.
        gains: Value of the strategy's criterion when the row was chosen, ``[k]`` float64; NaN for
            a uniform first draw.
        hallucinated_label: Predicted classes, ``[k]`` int32.
        confidence: Probabilities of the predicted classes, ``[k]`` float32.
        coverage: Share of the pool's scatter explained up to this rank, ``[k]`` float32.
        metadata: How the ordering was computed: plain JSON values.
    """

    sample_ids: SampleIds
    gains: npt.NDArray[np.float64] | None = None
    hallucinated_label: npt.NDArray[np.int32] | None = None
    confidence: npt.NDArray[np.float32] | None = None
    coverage: npt.NDArray[np.float32] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_ids", as_sample_ids(self.sample_ids, error=OrderingError))
        for name, values in self.columns().items():
            if len(values) != len(self):
                raise OrderingError(
                    f"{name}: expected one value per sample id, {len(self)}, got {len(values)}"
                )

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __iter__(self) -> Iterator[SampleId]:
        return iter(self.sample_ids.tolist())

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the columns that are not None, by name, without ``sample_ids``."""
        names = ("gains", "hallucinated_label", "confidence", "coverage")
        return {name: values for name in names if (values := getattr(self, name)) is not None}

    def take(self, k: int | None = None, *, coverage: float | None = None) -> Ordering:
        """Returns the first ``k`` ranks, or fewer if ``coverage`` is reached earlier.

        Raises:
            OrderingError: A negative ``k``, a coverage outside (0, 1], or a coverage asked of an
                ordering without that column.
        """
        if k is not None and k < 0:
            raise OrderingError(f"k: expected 0 or more ranks, got {k}")
        if coverage is not None:
            reached = np.flatnonzero(self._known_coverage(coverage) >= coverage)
            enough = int(reached[0]) + 1 if len(reached) else len(self)
            k = enough if k is None else min(k, enough)
        prefix: dict[str, Any] = {name: values[:k] for name, values in self.columns().items()}
        return replace(self, sample_ids=self.sample_ids[:k], **prefix)

    def _known_coverage(self, wanted: float) -> npt.NDArray[np.float32]:
        check_coverage(wanted)
        if self.coverage is None:
            raise OrderingError(
                "coverage: this ordering has none; use a strategy that measures it, such as badge"
            )
        return self.coverage


def check_coverage(coverage: float) -> None:
    """Raises an OrderingError if ``coverage`` is not in (0, 1]."""
    if not 0.0 < coverage <= 1.0:
        raise OrderingError(f"coverage: expected a share in (0, 1], got {coverage}")

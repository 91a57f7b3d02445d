"""Which samples are labeled, discarded or for validation, by their position in the data."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_badge.datamodule.arguments import check_none_labeled
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids, positions_of

_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabeledState:
    """Which samples are labeled and discarded, and the labels given for them.

    Samples that are added later are neither.
    """

    is_labeled: _Flags
    is_discarded: _Flags
    given: dict[int, Label]


class SampleSets:
    """The labeled set, the pool, and what is in neither.

    Args:
        ids: Ids of all samples, ``[n]``.
        validation_ids: Those that are for validation.

    Attributes:
        ids: Ids of all samples, ``[n]``.
        is_labeled: Which are labeled, ``[n]``, those for validation included.
        is_discarded: Which cannot be labeled, ``[n]``.
        is_validation: Which are for validation, ``[n]``.
        given: Labels that were given, by position.

    Raises:
        LabelError: Unknown or repeated ids.
    """

    def __init__(self, ids: SampleIds, validation_ids: SampleIds) -> None:
        self.ids = ids
        self.is_labeled = np.zeros(len(ids), dtype=np.bool_)
        self.is_discarded = np.zeros(len(ids), dtype=np.bool_)
        self.is_validation = np.zeros(len(ids), dtype=np.bool_)
        self.is_validation[self._positions(validation_ids)] = True
        self.given: dict[int, Label] = {}

    @property
    def is_training(self) -> _Flags:
        """Which are labeled and not for validation, ``[n]``."""
        return self.is_labeled & ~self.is_validation

    @property
    def is_in_pool(self) -> _Flags:
        """Which are not labeled, discarded or for validation, ``[n]``."""
        return ~(self.is_labeled | self.is_discarded | self.is_validation)

    @property
    def is_labeled_validation(self) -> _Flags:
        """Which are labeled and for validation, ``[n]``."""
        return self.is_labeled & self.is_validation

    def outside_labeled(self, ids: Iterable[SampleId]) -> list[int]:
        """Returns the positions of ids.

        Raises:
            LabelError: Unknown, repeated or labeled ids.
        """
        positions = self._positions(ids)
        check_none_labeled(self.ids[positions][self.is_labeled[positions]])
        found: list[int] = positions.tolist()
        return found

    def label(self, positions: list[int], labels: Iterable[Label] = ()) -> None:
        """Moves samples into the labeled set, with one label for each or none."""
        self.given.update(zip(positions, labels, strict=False))
        self.is_labeled[positions] = True
        self.is_discarded[positions] = False

    def unlabel(self, ids: Iterable[SampleId]) -> None:
        """Moves samples back into the pool, labeled or discarded ones; others stay there.

        Raises:
            LabelError: Unknown or repeated ids.
        """
        positions = self._positions(ids)
        self.is_labeled[positions] = False
        self.is_discarded[positions] = False
        for position in positions.tolist():
            self.given.pop(position, None)

    def state(self) -> LabeledState:
        """Returns a copy of what changes, for `restored`."""
        return LabeledState(self.is_labeled.copy(), self.is_discarded.copy(), dict(self.given))

    def restored(self, state: LabeledState) -> "SampleSets":
        """Returns a copy in which labeled set and pool are what they were; added samples stay."""
        return self._copy(self.ids, state)

    def grown(self, ids: SampleIds) -> "SampleSets":
        """Returns a copy with further samples in the pool.

        Args:
            ids: Ids of all samples, those that are there first.
        """
        return self._copy(ids, self.state())

    def _copy(self, ids: SampleIds, state: LabeledState) -> "SampleSets":
        made = SampleSets(ids, self.ids[self.is_validation])
        made.is_labeled[: len(state.is_labeled)] = state.is_labeled
        made.is_discarded[: len(state.is_discarded)] = state.is_discarded
        made.given = dict(state.given)
        return made

    def _positions(self, ids: Iterable[SampleId]) -> npt.NDArray[np.int64]:
        return positions_of(as_sample_ids(ids), self.ids, of="the training data")

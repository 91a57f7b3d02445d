"""The cuts of a run: on which answers an attempt at a round trains, and the data at a cut."""

from collections.abc import Callable

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import Cut, LabelStore


class Cuts:
    """Commits cuts, and gives the data the labels up to one.

    Args:
        store: The label store.
        datamodule: The data.
        labeled_set: Gives them initial labels and answers.
        classes: The classes of the run.
    """

    def __init__(
        self,
        store: LabelStore,
        datamodule: ActiveLearningDataModule,
        labeled_set: LabeledSet,
        classes: ClassList,
    ) -> None:
        self._store, self._data = store, datamodule
        self._labeled_set, self._classes = labeled_set, classes

    def of(self, report: RoundReport) -> Cut | None:
        """Returns the cut that a round was trained on; None if there is none."""
        return self._store.cut_of(report.round, report.attempt)

    def apply(self, up_to: int) -> None:
        """Sets the data to the initial labels, and answers and classes up to an answer."""
        self._data.class_names = self._classes.names(up_to=up_to)
        self._labeled_set.apply(self._store.in_force(up_to=up_to).values())

    def make(self, round: int, allowed: Callable[[int, int], tuple[int, int | None] | None]) -> Cut:
        """Commits the cut of a round, with what labelers may do while it is trained.

        Args:
            round: The round.
            allowed: Returns round and labels of the allowance, given the round and its last answer.
        """
        last = self._store.last_answer_id()
        self.apply(last)
        cut = self._store.cut(round, up_to=last, allowed=allowed(round, last))
        if cut.last_answer_id != last:  # its ordering was published
            self.apply(cut.last_answer_id)
        return cut

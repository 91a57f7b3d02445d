"""The classes of a run: those of its data, and those that answers added."""

from collections.abc import Sequence

from lightning_badge.exceptions import LabelError
from lightning_badge.store.answer_log import AnswerLog

_ADDED = "class"


class ClassList:
    """Names of the classes, which grow by answers if changes are accepted.

    Args:
        store: Keeps the classes that were added.
        names: Names of the data's classes; None if classes have no names.
        accept_changes: Whether an answer may name a new class.
        multilabel: Whether a sample may have several classes; no class can then be added.
    """

    def __init__(
        self,
        store: AnswerLog,
        names: Sequence[str] | None,
        *,
        accept_changes: bool = False,
        multilabel: bool = False,
    ) -> None:
        self.multilabel = multilabel
        self.accept_changes = accept_changes
        self._store = store
        self._names = None if names is None else tuple(names)

    def names(self, *, up_to: int | None = None) -> tuple[str, ...] | None:
        """Returns the names in the order of their numbers; None if classes have no names.

        Args:
            up_to: Only classes that an answer up to this ``answer_id``, that of a cut, may have;
                None for all.
        """
        if self._names is None:
            return None
        added = [
            change.facts["name"]
            for change in self._store.changes.of(_ADDED)
            if up_to is None or change.facts["after_answer"] < up_to
        ]
        return tuple(dict.fromkeys([*self._names, *added]))

    def number(self, name: str) -> int:
        """Returns the number of a class, which is added if it is new.

        Raises:
            LabelError: A new class that is not accepted.
        """
        names = self.names() or ()
        if name in names:
            return names.index(name)
        if self.multilabel or not self.accept_changes:
            mend = (
                f"several classes of a sample are written {'|'.join(names[:2])}"
                if self.multilabel
                else "correct it, or accept a new class by accept_changes=true"
            )
            raise LabelError(f"label {name!r}: expected one of {', '.join(names)}; {mend}")
        answers = self._store.answers()
        after = answers[-1].answer_id if answers else 0
        self._store.changes.add(_ADDED, name=name, after_answer=after)
        return len(names)

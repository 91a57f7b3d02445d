"""Which rows of answer files are in the store already, so that each row counts once.

A row is known by the file, the sample, the annotator and its place among the rows of the file about
that sample by that annotator. It counts again only when it says something else than before.
Therefore a file may be saved again with more rows, in another order or with corrections. A copy of
a file, or a file saved under another name, holds all rows of an earlier file and continues it.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightning_badge.store.answer import NewAnswer, as_columns
from lightning_badge.store.answer_log import AnswerLog

_PREFIX, _FILE = "file", "answer_file"


@dataclass(frozen=True)
class _Counted:
    """What a row said when it was counted last, and how often it was counted."""

    says: tuple[str, str | None]
    times: int


class CountedRows:
    """The rows of answer files that the store holds.

    Args:
        store: Its answers from files carry ids of their rows.
    """

    def __init__(self, store: AnswerLog) -> None:
        self._store = store
        self._by_file: dict[str, dict[str, _Counted]] = defaultdict(dict)
        for answer in store.answers():
            parts = (answer.request_id or "").split("-")
            if parts[0] == _PREFIX and len(parts) == 4:
                _, file, row, times = parts
                self._by_file[file][row] = _Counted(as_columns(answer.label), int(times))
        self._files: dict[str, str] = {
            change.facts["name"]: change.facts["file"] for change in store.changes.of(_FILE)
        }

    def new(self, name: str, answers: Sequence[NewAnswer]) -> list[NewAnswer]:
        """Returns the answers of a file that do not count yet, with a ``request_id`` each.

        Args:
            name: Name of the file.
            answers: All its answers, in order.
        """
        rows = _row_names(answers)
        if not rows:
            return []
        file = self._file(name, rows, answers)
        counted = self._by_file[file]
        found = []
        for row, answer in zip(rows, answers, strict=True):
            before, says = counted.get(row), as_columns(answer.label)
            if before is None or before.says != says:
                counted[row] = _Counted(says, 1 if before is None else before.times + 1)
                request_id = f"{_PREFIX}-{file}-{row}-{counted[row].times}"
                found.append(replace(answer, request_id=request_id))
        return found

    def _file(self, name: str, rows: Sequence[str], answers: Sequence[NewAnswer]) -> str:
        """Returns the name of a file in ids; that of an earlier file, if all its rows are here."""
        if name not in self._files:
            says = {
                row: as_columns(answer.label) for row, answer in zip(rows, answers, strict=True)
            }
            continued = [
                (len(counted), file)
                for file, counted in self._by_file.items()
                if counted and all(says.get(row) == was.says for row, was in counted.items())
            ]
            self._files[name] = max(continued)[1] if continued else _digest(name)
            self._store.changes.add(_FILE, name=name, file=self._files[name])
        return self._files[name]


def _row_names(answers: Sequence[NewAnswer]) -> list[str]:
    places: Counter[tuple[object, str]] = Counter()
    names = []
    for answer in answers:
        key = (answer.sample_id, answer.annotator)
        names.append(_digest(json.dumps([*key, places[key]])))
        places[key] += 1
    return names


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

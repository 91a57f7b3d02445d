"""Which rows of answer files are in the store already, so that each row counts once.

A row is known by the file, the sample, the annotator and its place among the rows of the file about
that sample by that annotator. It counts again only when it says something else than before.
Therefore a file may be saved again with more rows, in another order or with corrections.

A file that holds all rows of an earlier one is its copy, or continues it under another name: those
rows do not count again. From then on both files are known by themselves, so that one of them may
change while the other one stays as it is.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lightning_badge.store.answer import NewAnswer, as_columns
from lightning_badge.store.answer_log import AnswerLog

_PREFIX, _COPY = "file", "answer_file"
_Says = tuple[str, str | None]  # the columns status and label


@dataclass(frozen=True)
class _Counted:
    """What a row said when it was counted last, and how often it was counted."""

    says: _Says
    times: int


class CountedRows:
    """The rows of answer files that the store holds.

    Args:
        store: Its answers from files carry ids of their rows; its changes hold the rows of copies.
    """

    def __init__(self, store: AnswerLog) -> None:
        self._store = store
        self._by_file: dict[str, dict[str, _Counted]] = defaultdict(dict)
        for change in store.changes.of(_COPY):
            self._by_file[change.facts["file"]] = {
                row: _Counted((status, text), 0)
                for row, (status, text) in change.facts["rows"].items()
            }
        for answer in store.answers():
            parts = (answer.request_id or "").split("-")
            if parts[0] == _PREFIX and len(parts) == 4:
                _, file, row, times = parts
                self._by_file[file][row] = _Counted(as_columns(answer.label), int(times))

    def new(self, name: str, answers: Sequence[NewAnswer]) -> list[NewAnswer]:
        """Returns the answers of a file that do not count yet, with a ``request_id`` each.

        Args:
            name: Name of the file.
            answers: All its answers, in order.
        """
        file, rows = _digest(name), _row_names(answers)
        says = {row: as_columns(answer.label) for row, answer in zip(rows, answers, strict=True)}
        if says and file not in self._by_file:
            self._recognise_copy(file, says)
        counted = self._by_file[file]
        found = []
        for row, answer in zip(rows, answers, strict=True):
            before = counted.get(row, _Counted(("", None), 0))
            if before.says != says[row]:
                counted[row] = _Counted(says[row], before.times + 1)
                request_id = f"{_PREFIX}-{file}-{row}-{counted[row].times}"
                found.append(replace(answer, request_id=request_id))
        return found

    def _recognise_copy(self, file: str, says: Mapping[str, _Says]) -> None:
        """Takes over the rows of the largest earlier file, all of whose rows are in this one."""
        copied = [
            {row: was.says for row, was in counted.items()}
            for counted in self._by_file.values()
            if counted and all(says.get(row) == was.says for row, was in counted.items())
        ]
        if copied:
            rows = max(copied, key=len)
            self._store.changes.add(_COPY, file=file, rows=rows)
            self._by_file[file] = {row: _Counted(said, 0) for row, said in rows.items()}


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

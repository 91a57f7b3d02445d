"""Labelers who get a CSV file and return CSV files."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import BadgeError, LabelError
from lightning_badge.labelers.files.counted import CountedRows
from lightning_badge.labelers.files.query_file import (
    Shown,
    check_export,
    export_query,
    keep_filled_in,
    write_query,
)
from lightning_badge.labelers.files.rows import (
    Row,
    label_of,
    read_rows,
    sample_of,
    seconds_of,
)
from lightning_badge.labels import UNDO
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.next_sample import Offer, Query

_NAMED = 20
_log = logging.getLogger(__name__)


class FileLabelers:
    """Writes ``query.csv`` into the run directory and reads CSV files from its ``answers``.

    An answer file has the columns ``sample_id`` and ``label`` (the name or the number of a class),
    and may have ``annotator``, ``seconds`` and ``status`` (``label``, ``skip`` or ``undo``). Each
    row counts once, also if its file is saved again with more rows. A row that cannot be used is
    named by file and line, and the others count.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        rows: Largest number of samples in ``query.csv``, unless the budget sets a size.
        export: A format of another tool in which the query is written too, such as
            ``label-studio``; None for none.
        fields: Fields of each sample for that tool, as templates over its id.

    Raises:
        LabelError: ``rows`` is not a positive integer, or the format is unknown.

    Attributes:
        exported: The samples in ``query.csv``.
    """

    only_reads = True

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        run_path: Path,
        *,
        rows: int = 500,
        export: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.rows = check.integer("labelers.rows", rows, least=1, error=LabelError)
        self.export = check_export(export)
        self.fields = dict(
            check.instance("fields", fields or {}, Mapping, "a dict", error=LabelError)
        )
        self.query_path = Path(check.path("run_path", run_path, error=LabelError)) / "query.csv"
        self.answers_path = Path(run_path) / "answers"
        self.exported: set[SampleId] = set()
        self._datamodule = datamodule
        self._read_data()
        self._query: Query | None = None

    def prepare(self, *, overlap: int, accept_changes: bool) -> None:
        """Takes in the samples of the data.

        Args:
            overlap: Not used.
            accept_changes: Not used.
        """
        del overlap, accept_changes
        self._read_data()

    def _read_data(self) -> None:
        data = self._datamodule
        self._shown = Shown.of_data(data)
        self._ids = {str(sample_id): sample_id for sample_id in data.sample_ids.tolist()}

    def publish(self, query: Query) -> None:
        """Replaces ``query.csv``; labels that were filled in there are kept as an answer file."""
        self._query = query
        self.answers_path.mkdir(parents=True, exist_ok=True)
        keep_filled_in(self.query_path, self.answers_path)
        self._write()

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields the new rows of all answer files in one batch, oldest file first."""
        if self._query is None:
            return
        counted = CountedRows(self._query.store)
        said: set[tuple[SampleId, str]] = set()
        answers: list[NewAnswer] = []
        wrong: list[str] = []
        for path in answer_files(self.answers_path):
            answers += counted.new(path.name, self._read(path, said, wrong))
        for text in wrong[:_NAMED]:
            _log.warning("%s", text)
        if len(wrong) > _NAMED:
            _log.warning("%d further rows of answer files do not count", len(wrong) - _NAMED)
        if answers:
            yield answers
            self._write()

    def to_do(self) -> str:
        """Returns what to do with the query."""
        assert self._query is not None, "asked for a query that was published"
        received = self._query.progress().new_labels
        return (
            f"label samples in {self.query_path} from the top (fill in the column label), save "
            f"them as a CSV file in {self.answers_path}, and run the same command again "
            f"({received} new labels so far)"
        )

    def close(self) -> None:
        """Does nothing: files hold no resources."""

    def _offers(self) -> list[Offer]:
        assert self._query is not None, "publish comes first"
        return self._query.peek(self.rows)

    def _write(self) -> None:
        assert self._query is not None, "publish comes first"
        offers = self._offers()
        self.exported = {offer.sample_id for offer in offers}
        write_query(self.query_path, self._query, offers, self._shown)
        if self.export is not None:
            export_query(self.query_path, self.export, offers, self._shown, self.fields)

    def _read(
        self, path: Path, said: set[tuple[SampleId, str]], wrong: list[str]
    ) -> list[NewAnswer]:
        """Returns the answers of a file, and adds its wrong rows to ``wrong``."""
        try:
            rows = read_rows(path)
        except BadgeError as error:
            wrong.append(f"{error}; the file does not count")
            return []
        answers = []
        for row in rows:
            try:
                answer = self._answer(row, said)
            except LabelError as error:
                wrong.append(f"{path}, line {row.line}: {error}; the row does not count")
            else:
                said.add((answer.sample_id, answer.annotator))
                answers.append(answer)
        return answers

    def _answer(self, row: Row, said: set[tuple[SampleId, str]]) -> NewAnswer:
        query = self._query
        assert query is not None, "publish comes first"
        sample_id = sample_of(row, self._ids)
        seconds = seconds_of(row)
        label = label_of(row, query.classes)  # last: it may add a class
        is_known = (sample_id, row.annotator) in said or query.has_answered(
            sample_id, row.annotator
        )
        if label is UNDO and not is_known:
            raise LabelError(
                f"{row.annotator!r} has not answered sample {row.sample_id!r}; nothing to undo"
            )
        if reason := query.store.refusal(sample_id, label):
            raise LabelError(reason)
        offer = query.origin(sample_id, row.annotator)
        return NewAnswer(sample_id, label, row.annotator, offer.round, offer.rank, seconds)


def for_run(datamodule: ActiveLearningDataModule, run_path: Path, **arguments: Any) -> FileLabelers:
    """Builds labelers who exchange files with a run directory.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        **arguments: Further arguments of `FileLabelers`.
    """
    return FileLabelers(datamodule, run_path, **arguments)


def answer_files(folder: Path) -> list[Path]:
    """Returns the CSV files of a folder, oldest first, without hidden and temporary ones."""
    found = [] if not folder.is_dir() else list(folder.iterdir())
    files = [
        path
        for path in found
        if path.suffix.lower() == ".csv" and path.is_file() and path.name[0] not in ".~"
    ]
    return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name))

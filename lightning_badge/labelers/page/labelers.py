"""People who label at a page in the browser, also while a model is trained.

The page's server is another process. It hands out samples and commits answers; the loop reads them
in the label store, and tells the server by the store what it may hand out.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.file_limits import read_text
from lightning_badge.labelers.base import Labelers, PreparedLabelers
from lightning_badge.labelers.page.page_files import Page, write_page
from lightning_badge.labelers.shown import kind_of, shown_samples, title_of
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.next_sample import Query

_log = logging.getLogger(__name__)
_LOOK_S = 0.1  # time between two looks at the store
_TICK_S = 1.0  # longest time without a batch, because a budget may look at the clock


class PageLabelers:
    """Writes what the page shows, and waits for the answers that its server commits.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        guess: Whether the page shows what the model predicts, which biases people.
        guidelines: A Markdown file that explains the classes to people; None for none.
        beside: Builds labelers who answer samples of the same query, such as a model; None for
            none. They work while the loop waits for labels, people also while a model is trained.

    Raises:
        LabelError: The page cannot show such samples, their classes have no names, or the
            guidelines cannot be read.
    """

    only_reads = False  # what it reads was committed before

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        run_path: Path,
        *,
        guess: bool = False,
        guidelines: str | None = None,
        beside: Callable[[ActiveLearningDataModule, Path], Labelers] | None = None,
    ) -> None:
        check.flag("labelers.guess", guess, error=LabelError)
        if guidelines is not None:
            check.path("labelers.guidelines", guidelines, error=LabelError)
        if beside is not None:
            builds = "a function that builds labelers"
            check.function("labelers.beside", beside, builds, error=LabelError)
        if not datamodule.class_names:
            raise LabelError(
                "labelers=page: expected data with names of their classes, got none; pass "
                "class_names= to the datamodule, or data.classes=[cat,dog]"
            )
        self.guess = guess
        self.guidelines = None if guidelines is None else _rendered(Path(guidelines).expanduser())
        self._datamodule = datamodule
        self._run_path = Path(check.path("run_path", run_path, error=LabelError))
        self._kind = kind_of(datamodule, "page")
        self._beside = None if beside is None else beside(datamodule, self._run_path)
        self._query: Query | None = None

    def prepare(self, *, overlap: int, accept_changes: bool) -> None:
        """Writes the files that the page's server reads.

        Args:
            overlap: Number of annotators that answer each sample.
            accept_changes: Whether an answer may name a new class.
        """
        data = self._datamodule
        page = Page(
            title=title_of(data, self._run_path),
            kind=self._kind,
            class_names=tuple(map(str, data.class_names or ())),
            multilabel=getattr(data, "multilabel", False),
            accept_changes=accept_changes,
            overlap=overlap,
            guess=self.guess,
            guidelines=self.guidelines,
            validation=tuple(data.validation_ids.tolist()),
            initial=data.labels_dict(),
        )
        if isinstance(self._beside, PreparedLabelers):
            self._beside.prepare(overlap=overlap, accept_changes=accept_changes)
        write_page(self._run_path, page, shown_samples(data, "page"))

    def publish(self, query: Query) -> None:
        """Replaces the query; its allowance tells the server."""
        self._query = query
        if self._beside is not None:
            self._beside.publish(query)

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields an empty batch whenever the server committed answers, and each second.

        Batches that are not empty come from the labelers beside.
        """
        if self._query is None:
            return
        store, seen, told_at = self._query.store, -1, 0.0
        with closing(self._of_others(self._query)) as others:
            while True:
                last = store.last_answer_id()
                if last != seen or time.monotonic() - told_at >= _TICK_S:
                    seen, told_at = last, time.monotonic()
                    yield []
                if batch := next(others):
                    yield batch
                else:
                    time.sleep(_LOOK_S)

    def to_do(self) -> str:
        """Returns where people label."""
        return (
            "label at the page of this run, whose address `lightning-badge label "
            f"{self._run_path}` prints, and run the same command again"
        )

    def close(self) -> None:
        """Releases what the labelers beside hold; other leases are the server's."""
        if self._beside is not None:
            self._beside.close()

    def _of_others(self, query: Query) -> Generator[list[NewAnswer], None, None]:
        """Yields what the labelers beside answer, and empty batches while they have nothing."""
        asked_at, seen, has_failed = -math.inf, -1, False
        while True:
            is_due = query.store.last_answer_id() != seen or time.monotonic() - asked_at >= _TICK_S
            if self._beside is not None and is_due and not has_failed:
                answers: Any = self._beside.collect()
                try:
                    with closing(answers):
                        yield from answers
                except LabelError as error:  # people go on
                    has_failed = True
                    _log.warning("%s; people go on alone until the next round", error)
                # They have all that they may get. This may change.
                asked_at, seen = time.monotonic(), query.store.last_answer_id()
            yield []


def for_run(
    datamodule: ActiveLearningDataModule,
    run_path: Path,
    *,
    guess: bool = False,
    guidelines: str | None = None,
    beside: Callable[[ActiveLearningDataModule, Path], Labelers] | None = None,
    **serving: Any,  # noqa: ARG001 - for the processes that the command starts
) -> PageLabelers:
    """Builds labelers who work at the page of a run.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        guess: As in `PageLabelers`.
        guidelines: As in `PageLabelers`.
        beside: As in `PageLabelers`.
        **serving: The other keys of ``labelers``, which say how the page is served.
    """
    return PageLabelers(datamodule, run_path, guess=guess, guidelines=guidelines, beside=beside)


def _rendered(path: Path) -> str:
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise LabelError(
            'labelers.guidelines needs markdown-it-py; pip install "lightning-badge[page]"'
        ) from error
    text = read_text(path, "a Markdown file in UTF-8 (labelers.guidelines)", LabelError)
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))

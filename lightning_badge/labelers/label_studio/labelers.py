"""People who label in Label Studio: samples go there as tasks, answers are read from there."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.answers import Answers
from lightning_badge.labelers.label_studio.client import (
    AwayError,
    Client,
    NoSuchHostError,
    checked_url,
)
from lightning_badge.labelers.label_studio.contents import Contents
from lightning_badge.labelers.label_studio.hand_out import HandOut
from lightning_badge.labelers.label_studio.outage import Outage
from lightning_badge.labelers.label_studio.project import Project, Wanted, open_project
from lightning_badge.labelers.label_studio.tasks import Tasks
from lightning_badge.labelers.label_studio.token import Token
from lightning_badge.labelers.shown import title_of
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.next_sample import Query

_TICK_S = 1.0  # longest time without a batch, because a budget may look at the clock
_CHANGES_S = 15.0  # between reads of changed answers, which no count tells
_ALL_S = 600.0  # between reads of all tasks, which tell deleted ones
_SHARE = 20  # reads of all tasks take at most this part of the time
_log = logging.getLogger(__name__)


@dataclass
class _Desk:
    """A project that was opened, and what is known of it.

    Attributes:
        counts: Its counts at the last read; None before.
        read_at: When it was read last, in seconds of ``time.monotonic``.
        answers: The answers that count already, for the current query.
    """

    client: Client
    project: Project
    tasks: Tasks
    hand_out: HandOut
    counts: tuple[Any, ...] | None = None
    read_at: float = -math.inf
    answers: Answers | None = None


class LabelStudioLabelers:
    """Hands samples out as tasks of a project, in the order of their ranks, and reads the answers.

    The project is adopted, or created once for the run. The token comes from the environment
    variable ``LABEL_STUDIO_API_KEY`` and is written nowhere. While a model is trained people go on
    with the tasks that are there.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        url: Address of the server.
        project: Id or title of a project; None creates one for the run.
        rows: Largest number of tasks to hand out at once, unless the budget sets a size.
        urls: Where browsers find the samples: a template over ``{sample_id}``, or a column of a
            table; None puts the samples themselves into the tasks.
        guess: Whether tasks show what the model predicts, which biases people.
        wait: Whether to wait for answers; False reads those that are there and ends.
        poll: Seconds between two looks at the project.

    Raises:
        LabelError: An argument is not valid, the classes have no names, or such samples cannot be
            shown.
    """

    only_reads = False

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        run_path: Path,
        *,
        url: str = "http://localhost:8080",
        project: int | str | None = None,
        rows: int = 500,
        urls: str | None = None,
        guess: bool = False,
        wait: bool = True,
        poll: float = 2.0,
    ) -> None:
        _check(project=project, rows=rows, guess=guess, wait=wait, poll=poll)
        if not datamodule.class_names:
            raise LabelError(
                "labelers=label_studio: expected data with names of their classes, got none; pass "
                "class_names= to the datamodule, or data.classes=[cat,dog]"
            )
        self.url = checked_url(url)
        self.project, self.rows, self.guess = project, rows, guess
        self.wait, self.poll = wait, float(poll)
        self._run_path = Path(check.path("run_path", run_path, error=LabelError))
        self._datamodule = datamodule
        self._contents = Contents(datamodule, urls)
        self._wanted = Wanted(
            title_of(datamodule, self._run_path),
            self._contents.kind,
            tuple(map(str, datamodule.class_names)),
            multilabel=getattr(datamodule, "multilabel", False),
        )
        self._ids: dict[str, SampleId] = {}
        self._outage = Outage()
        self._desk: _Desk | None = None
        self._query: Query | None = None

    @property
    def exported(self) -> set[SampleId]:
        """The samples that are tasks of the project, as far as it was read."""
        return set() if self._desk is None else self._desk.tasks.samples()

    def prepare(self, *, overlap: int, accept_changes: bool) -> None:  # noqa: ARG002
        """Opens the project, so that a wrong address, token or project is an error at once.

        A server that is away is waited for when people are asked: no training needs it. Is called
        again when samples arrived.

        Args:
            overlap: Number of annotators that answer each sample.
            accept_changes: Not used: the store refuses classes that it does not know.
        """
        self._read_ids()
        self._wanted = Wanted(**{**vars(self._wanted), "overlap": overlap})
        try:
            self._open()
        except NoSuchHostError:
            raise
        except AwayError as error:
            if not self.wait:
                raise
            self._outage.began(error)

    def publish(self, query: Query) -> None:
        """Replaces the query; ``collect`` hands its samples out."""
        self._query = query
        self._read_ids()
        if self._desk is not None:
            self._desk.answers = None

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields new answers, and hands samples out after each batch.

        It goes on through outages of the server, and yields an empty batch at least each second,
        unless ``wait`` is False.

        Raises:
            LabelError: The server refuses a request; or it is away, and ``wait`` is False.
        """
        query = self._query
        if query is None:
            return
        while True:
            try:
                answers = self._look(query)
                yield answers  # committed before the allowance is looked at
                self._hand_out(query)
                pause = self.poll
            except AwayError as error:
                if not self.wait:
                    raise
                pause = self._outage.began(error)
                if self._desk is not None:  # what was sent may have been carried out
                    self._desk.read_at = -math.inf
            else:
                self._outage.ended()
                if not self.wait:
                    return
            yield from _waiting(pause)

    def to_do(self) -> str:
        """Returns where people label."""
        where = self.url if self._desk is None else self._desk.project.page
        received = 0 if self._query is None else self._query.progress().new_labels
        return f"label at {where} and run the same command again ({received} new labels so far)"

    def close(self) -> None:
        """Closes the connection."""
        if self._desk is not None:
            self._desk.client.close()
        self._desk = None

    def _read_ids(self) -> None:
        self._ids.update((str(key), key) for key in self._datamodule.sample_ids.tolist())

    def _open(self) -> _Desk:
        if self._desk is None:
            client = Client(self.url, Token.of_environment())
            try:
                project = open_project(client, self._run_path, self.project, self._wanted)
            except BaseException:
                client.close()
                raise
            tasks = Tasks(project, self._ids)
            hand_out = HandOut(project, tasks, self._contents, rows=self.rows, guess=self.guess)
            self._desk = _Desk(client, project, tasks, hand_out)
            _log.info("people label at %s", project.page)
        return self._desk

    def _look(self, query: Query) -> list[NewAnswer]:
        """Returns the answers that came since the last look."""
        desk = self._open()
        now, tasks = time.monotonic(), desk.tasks
        counts = desk.project.counts()
        if now - tasks.full_read_at >= max(_ALL_S, _SHARE * tasks.full_read_s):
            tasks.read_all()
        elif counts != desk.counts or now - desk.read_at >= _CHANGES_S:
            tasks.read_changed()
        else:
            now = desk.read_at
        desk.counts, desk.read_at = counts, now
        if desk.answers is None:
            desk.answers = Answers(query, desk.project.key)
            tasks.consider_all()
        changed = [(sample_id, tasks.of(sample_id)) for sample_id in tasks.changed()]
        return desk.answers.new(query, desk.project.config, changed)

    def _hand_out(self, query: Query) -> None:
        self._open().hand_out.update(query)


def for_run(
    datamodule: ActiveLearningDataModule, run_path: Path, **arguments: Any
) -> LabelStudioLabelers:
    """Builds labelers who label in Label Studio.

    Args:
        datamodule: Knows the samples.
        run_path: The run directory.
        **arguments: Further arguments of `LabelStudioLabelers`.
    """
    return LabelStudioLabelers(datamodule, run_path, **arguments)


def _waiting(seconds: float) -> Iterator[list[NewAnswer]]:
    """Waits, and yields an empty batch now and then."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _TICK_S))
        yield []


def _check(*, project: Any, rows: Any, guess: Any, wait: Any, poll: Any) -> None:
    for name, value in {"guess": guess, "wait": wait}.items():
        if not isinstance(value, bool):
            raise LabelError(f"labelers.{name}: expected true or false, got {value!r}")
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise LabelError(f"labelers.rows: expected a positive integer, got {rows!r}")
    is_number = isinstance(poll, int | float) and not isinstance(poll, bool)
    if not is_number or not 0 < poll < math.inf:
        raise LabelError(f"labelers.poll: expected a positive number of seconds, got {poll!r}")
    is_id = isinstance(project, int) and not isinstance(project, bool)
    if not (project is None or is_id or (isinstance(project, str) and len(project) >= 3)):
        raise LabelError(
            "labelers.project: expected an id, a title of at least three characters, or null, got "
            f"{project!r}"
        )

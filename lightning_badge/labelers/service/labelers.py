"""Labelers who are asked over HTTP: a labeling service, or a model that labels."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.contents import Contents
from lightning_badge.labelers.service.jobs import Jobs
from lightning_badge.labelers.service.reply import Asker, Reply, Request, amount
from lightning_badge.labelers.service.request_log import Made, RequestLog
from lightning_badge.labels import SKIP, Label, Skip
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.next_sample import LEASE_SECONDS, Query

_LOOK_S = 0.2  # longest time without a batch, because a budget may look at the clock
_LEASE_AGAIN_S = 1.0  # until samples are asked for again, if there were too few
_RENEW_S = LEASE_SECONDS / 3
_NAMED = 3  # skips of a process that are explained
_log = logging.getLogger(__name__)


class ServiceLabelers:
    """Asks for the samples of a query, at most ``parallel`` at once, all of them leased.

    A request is committed before it is sent. Those that are open when a process ends go on at the
    next ``collect``. Answers are collected only while the loop asks for labels, not while a model
    is trained; open jobs of a service go on meanwhile.

    Args:
        datamodule: Knows the classes.
        asker: Asks for the label of a sample.
        contents: What a request says of a sample.
        annotator: Name of the annotator in the label store; a model's begins with ``model:``.
        parallel: Most requests that are open at once.
        price: What an answer costs, where the reply does not say; None if that is not known.
        most_skips: Number of answers in a row without a label that is an error.
        clock: Returns seconds that never go back.

    Raises:
        LabelError: An argument is not valid, or the classes have no names.
    """

    only_reads = False

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        asker: Asker,
        contents: Contents,
        *,
        annotator: str,
        parallel: int = 4,
        price: float | None = None,
        most_skips: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parallel = check.integer("labelers.parallel", parallel, least=1, error=LabelError)
        most_skips = check.integer("labelers.most_skips", most_skips, least=1, error=LabelError)
        if not isinstance(annotator, str) or not annotator.strip() or "#" in annotator:
            raise LabelError(f"labelers.annotator: expected a name without #, got {annotator!r}")
        if not datamodule.class_names:
            raise LabelError(
                "labelers: expected data with names of their classes, got none; pass class_names= "
                "to the datamodule, or data.classes=[cat,dog]"
            )
        try:
            self.price = amount(price)
        except ValueError as error:
            raise LabelError(f"labelers.price: {error}") from error
        self.annotator, self.parallel, self.most_skips = annotator, parallel, most_skips
        self._asker, self._contents, self._clock = asker, contents, clock
        self._query: Query | None = None
        self._skips = 0  # answers in a row without a label
        self._named = 0

    def prepare(self, *, overlap: int, accept_changes: bool) -> None:  # noqa: ARG002
        """Checks that somebody can be asked, and takes in samples that were added to the data.

        Args:
            overlap: Number of annotators that answer each sample.
            accept_changes: Whether an answer may name a new class.

        Raises:
            LabelError: The key is missing, for example.
        """
        self._asker.check()
        self._contents.refresh()

    def publish(self, query: Query) -> None:
        """Replaces the query."""
        if self._query is None or self._query.store is not query.store:
            self._log = RequestLog(query.store, self.annotator)
        self._query = query

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields each answer as it comes, and an empty batch while none does.

        If the loop stops in between, answers to what was sent are still waited for and committed.

        Raises:
            LabelError: The service refuses requests, does not answer for too long, or gives no
                labels.
        """
        if self._query is None:
            return
        query, log = self._query, self._log
        made: dict[str, Made] = {}  # requests whose answer is not committed
        jobs = Jobs(self._asker, self.parallel)
        try:
            for _ in self._fill(query, log, jobs, made):
                done = jobs.next(_LOOK_S)
                if done is None:
                    yield []
                    continue
                answer = self._answer(query, made[done[0]], done[1])
                yield [answer]
                self._settle(query, log, made.pop(done[0]))
                self._check_labels(answer, done[1])
        except (GeneratorExit, LabelError):
            for request_id, reply in jobs.finish():  # what was sent is paid
                query.store.add([self._answer(query, made[request_id], reply)])
            for one in made.values():
                if any(
                    a.request_id == one.request_id for a in query.store.answers_to(one.sample_id)
                ):
                    self._settle(query, log, one)
            if not self._asker.is_idempotent:
                query.release(self.annotator)
            raise
        finally:
            jobs.stop()

    def to_do(self) -> str | None:
        """Returns who has to decide, where that is not this annotator."""
        waiting = 0 if self._query is None else self._query.undecided()
        if not waiting:
            return None
        return (
            f"{waiting} samples wait for a person's answer: ask people too, by "
            "labelers=page_and_chat, and run again"
        )

    def close(self) -> None:
        """Closes connections, and says what is still open."""
        self._asker.exchange.close()
        if self._query is None or not self._asker.is_idempotent:
            return
        if waiting := len(self._log.unanswered()):
            _log.warning(
                "%s: %d requests are open; their answers come when the run goes on",
                *(self._asker.exchange.endpoint.url, waiting),
            )

    def _fill(
        self, query: Query, log: RequestLog, jobs: Jobs, made: dict[str, Made]
    ) -> Iterator[None]:
        """Yields while requests are open, after opening as many as may be."""
        # What was paid already comes first.
        earlier = deque(log.unanswered() if self._asker.is_idempotent else [])
        self._hold(query, [one.sample_id for one in earlier])
        lease_at = renew_at = self._clock()
        renew_at += _RENEW_S
        room = 0
        while True:
            while earlier and jobs.room:
                self._begin(query, jobs, made, [earlier.popleft()])
            now = self._clock()
            if not earlier and (jobs.room > room or (jobs.room and now >= lease_at)):
                self._begin(query, jobs, made, self._leased(query, log, made))
                lease_at = now + _LEASE_AGAIN_S
            if now >= renew_at:
                wall = time.time()
                query.store.leases.renew(self.annotator, now=wall, expires_at=wall + LEASE_SECONDS)
                renew_at = now + _RENEW_S
            room = jobs.room
            if not jobs:
                return
            yield

    def _hold(self, query: Query, sample_ids: list[Any]) -> None:
        """Leases the samples of earlier requests, before anybody gets others for their money."""
        if sample_ids:
            now, leases = time.time(), query.store.leases
            with leases.transaction():
                leases.grant(self.annotator, sample_ids, now=now, expires_at=now + LEASE_SECONDS)

    def _leased(self, query: Query, log: RequestLog, made: dict[str, Made]) -> list[Made]:
        """Leases samples, and commits a request for each that has none, as far as there is room."""
        asked = {one.sample_id for one in made.values()}
        offers = query.lease(self.annotator, self.parallel, annotator=self.annotator)
        new = [offer.sample_id for offer in offers if offer.sample_id not in asked]
        # A trained model predicts one class, so it does not contradict a set of classes.
        return log.make(query, new[: self.parallel - len(made)], guess=not query.classes.multilabel)

    def _begin(self, query: Query, jobs: Jobs, made: dict[str, Made], new: Iterable[Made]) -> None:
        names, multilabel = query.classes.names() or (), query.classes.multilabel
        for one in new:
            made[one.request_id] = one
            try:
                content = self._contents.of(one.sample_id)
            except LabelError as error:  # a file that vanished, for example
                jobs.know(one.request_id, Reply(None, str(error), is_charged=False))
                continue
            kind = self._contents.kind
            jobs.begin(Request(one.request_id, one.sample_id, content, kind, names, multilabel))

    def _settle(self, query: Query, log: RequestLog, made: Made) -> None:
        """Ends a request whose answer is committed."""
        log.answered(made.request_id)
        query.release(self.annotator, [made.sample_id])

    def _answer(self, query: Query, made: Made, reply: Reply) -> NewAnswer:
        price = self.price if reply.price is None and reply.is_charged else reply.price
        return NewAnswer(
            made.sample_id,
            self._label(query, reply),
            self.annotator,
            made.round,
            made.rank,
            reply.seconds,
            made.request_id,
            price,
            made.guess,
        )

    def _label(self, query: Query, reply: Reply) -> Label | Skip:
        """Returns the label of a reply; a skip where it names an unknown class."""
        classes, given = query.classes, reply.classes
        known = classes.names() or ()
        if given is None:
            return self._skip(reply.reason)
        if not classes.multilabel and len(given) != 1:
            return self._skip(f"expected one class, got {list(given)}")
        may_add = self._asker.accepts_new_classes and classes.accept_changes
        if (unknown := [name for name in given if name not in known]) and (
            classes.multilabel or not may_add
        ):
            return self._skip(f"expected classes among {', '.join(known)}, got {unknown}")
        numbers = [classes.number(name) for name in given]
        if classes.multilabel:
            return [float(number in numbers) for number in range(len(known))]
        return numbers[0]

    def _skip(self, reason: str) -> Skip:
        self._named += 1
        if self._named <= _NAMED:
            _log.warning("%s: an answer counts as a skip: %s", self.annotator, reason)
        return SKIP

    def _check_labels(self, answer: NewAnswer, reply: Reply) -> None:
        self._skips = self._skips + 1 if answer.label is SKIP else 0
        if self._skips < self.most_skips:
            return
        said = reply.reason or f"answered {list(reply.classes or ())}"
        raise LabelError(
            f"{self._asker.exchange.endpoint.url}: {self._skips} answers in a row are no labels "
            f"(the last one: {said}); correct the service, its guidelines or the classes, and run "
            "the same command again, or raise labelers.most_skips"
        )

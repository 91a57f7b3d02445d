"""Simulated labelers, who know the labels of a data set."""

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.held_back import HeldBackLabels
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.team import Team
from lightning_badge.labels import SKIP, Label, Skip, as_label
from lightning_badge.sample_ids import SampleId, name_ids
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

_AT_ONCE = 256  # samples leased in one transaction
_SECONDS = 3600.0


class DatasetLabelers:
    """Simulates one or several labelers with known labels, for experiments.

    Seed, sample id and annotator alone decide what an annotator answers, so repeated calls return
    the same answers in any order and after a crash. The samples that are skipped, or labeled
    wrongly, at one fraction are so at every larger one too.

    With ``training_hours`` labelers work on a virtual clock: while a model is trained, they go on
    with the query before, as far as the budget allows. How many answers come is a function of the
    log, so that a killed run goes on as it would have.

    Args:
        labels: The label of every sample that may be asked for, by sample id.
        skip_fraction: The share of samples answered with ``SKIP``, in [0, 1).
        noise: The share of samples answered with a wrong label, in [0, 1).
        annotators: Number of labelers.
        rate: Labels that each of them gives in an hour; None if they need no time.
        hours: Hours that each of them works on a query before going home; None for no end.
        training_hours: Hours that training takes; None if nobody works meanwhile.
        seed: Seed of skips and wrong labels.

    Raises:
        LabelError: ``labels`` is not a mapping, a number is outside its range, or hours are given
            without a rate.
    """

    name = "dataset"
    only_reads = False

    def __init__(
        self,
        labels: Mapping[SampleId, Any],
        *,
        skip_fraction: float = 0.0,
        noise: float = 0.0,
        annotators: int = 1,
        rate: float | None = None,
        hours: float | None = None,
        training_hours: float | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(labels, Mapping):
            raise LabelError(
                "labelers.labels: expected a mapping from sample_id to label, got "
                f"{type(labels).__name__}; pass dict(enumerate(labels)) for the default sample ids"
            )
        _check_fraction("skip_fraction", skip_fraction)
        _check_fraction("noise", noise)
        annotators = check.integer("labelers.annotators", annotators, least=1, error=LabelError)
        seed = check.integer("labelers.seed", seed, error=LabelError)
        _check_times(rate, hours=hours, training_hours=training_hours)
        self.labels = labels
        self.skip_fraction, self.noise, self.seed = skip_fraction, noise, seed
        self.rate, self.hours, self.training_hours = rate, hours, training_hours
        self.names = (
            [self.name] if annotators == 1 else [f"{self.name}-{n}" for n in range(annotators)]
        )
        self._query: Query | None = None
        self._choices: list[Label] | None = None

    @property
    def works_during_training(self) -> bool:
        """Whether labelers go on while a model is trained."""
        return self.training_hours is not None

    def publish(self, query: Query) -> None:
        """Replaces the query."""
        self._query = query

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields an answer to each sample that the allowance permits, one at a time.

        Raises:
            LabelError: A sample has no label.
        """
        if self._query is not None:
            yield from self._work(self._query, self.hours, after=0)

    def late_answers(self, query: Query, *, after: int) -> Iterator[list[NewAnswer]]:
        """Yields the answers to a query that come while the next model is trained.

        Args:
            query: The query before.
            after: The last answer that the model is trained on.
        """
        if self.works_during_training:
            yield from self._work(query, self.training_hours, after=after)

    def to_do(self) -> None:
        """Returns None: simulated labelers answer at once."""

    def close(self) -> None:
        """Does nothing: leases end with ``collect``."""

    def answer(self, sample_id: SampleId, annotator: str = name) -> Label | Skip:
        """Returns what an annotator answers: a label, perhaps a wrong one, or ``SKIP``."""
        whose = f"{self.seed}:{sample_id!r}" + ("" if annotator == self.name else f":{annotator}")
        if _uniform(whose) < self.skip_fraction:
            return SKIP
        label = as_label(self.labels[sample_id])
        if _uniform(f"noise:{whose}") < self.noise:
            others = [other for other in self._distinct_labels() if other != label]
            if others:
                return others[int(_uniform(f"wrong:{whose}") * len(others))]
        return label

    def _work(self, query: Query, hours: float | None, *, after: int) -> Iterator[list[NewAnswer]]:
        """Yields answers in turns, until nobody has time or samples left."""
        most = math.inf
        if self.rate is not None and hours is not None:
            most = math.floor(hours * self.rate)
        given = Counter(
            answer.annotator
            for answer in query.store.answers(query.round)
            if answer.answer_id > after
        )
        working = {name: self._one(query, name) for name in self.names}
        try:
            while working := {name: work for name, work in working.items() if given[name] < most}:
                name = min(working, key=lambda name: given[name])
                batch = next(working[name], None)
                if batch is None:
                    del working[name]
                else:
                    given[name] += 1
                    yield batch
        finally:
            for name in self.names:
                query.release(name)

    def _one(self, query: Query, name: str) -> Iterator[list[NewAnswer]]:
        """Yields the answers of one annotator, one at a time."""
        # Several labelers share a query, so that nobody holds samples for later.
        count = _AT_ONCE if len(self.names) == 1 else 1
        seconds = None if self.rate is None else _SECONDS / self.rate
        given: set[SampleId] = set()
        while offers := query.lease(name, count, annotator=name):
            # An answer that was not committed is not given a second time.
            offers = [offer for offer in offers if offer.sample_id not in given]
            if not offers:
                return
            self._check_known([offer.sample_id for offer in offers])
            for offer in offers:
                given.add(offer.sample_id)
                label = self.answer(offer.sample_id, name)
                yield [NewAnswer(offer.sample_id, label, name, offer.round, offer.rank, seconds)]

    def _check_known(self, sample_ids: list[SampleId]) -> None:
        if unknown := [sample_id for sample_id in sample_ids if sample_id not in self.labels]:
            known = itertools.islice(self.labels, 3)
            raise LabelError(
                f"labelers: no label for sample ids {name_ids(unknown)}; "
                f"there are {len(self.labels)} labels, for ids such as {name_ids(known)}"
            )

    def _distinct_labels(self) -> list[Label]:
        if self._choices is None:
            texts = {json.dumps(as_label(label)) for label in self.labels.values()}
            self._choices = [json.loads(text) for text in sorted(texts)]
        return self._choices


class TeamLabelers(DatasetLabelers):
    """Simulates labelers of different speed with working hours in a week, on a virtual clock.

    The clock shows date and time of day, so that deadlines hold on it. How many answers come, and
    when, is a function of the log, as in `DatasetLabelers`.

    Args:
        labels: As in `DatasetLabelers`.
        team: For each labeler by name, ``rate`` (labels in an hour) and ``hours``, such as
            ``mon-fri 09:00-17:00, sat 10:00-12:00``.
        begins: When the run begins, such as ``2026-01-05T08:00``; UTC without an offset.
        training_hours: Hours that a training takes.
        skip_fraction: As in `DatasetLabelers`.
        noise: As in `DatasetLabelers`.
        seed: As in `DatasetLabelers`.

    Raises:
        LabelError: As in `DatasetLabelers`, or the team or the beginning is not valid.
    """

    works_during_training = True

    def __init__(
        self,
        labels: Mapping[SampleId, Any],
        *,
        team: Mapping[str, Any],
        begins: Any,
        training_hours: float,
        skip_fraction: float = 0.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(labels, skip_fraction=skip_fraction, noise=noise, seed=seed)
        _check_times(1.0, training_hours=training_hours)
        self.training_s: float | None = training_hours * _SECONDS
        self.team = Team(team, begins, training_s=self.training_s, answer=self._known)
        self.names = list(self.team.members)

    def collect(self) -> Iterator[list[NewAnswer]]:
        """Yields the answers to the query, in the order in which they are done."""
        if self._query is not None:
            yield from self.team.collect(self._query)

    def late_answers(self, query: Query, *, after: int) -> Iterator[list[NewAnswer]]:  # noqa: ARG002
        """Yields the answers to a query that are done while the newest model is trained."""
        yield from self.team.late_answers(query)

    def time_in(self, store: LabelStore) -> float:
        """Returns the virtual time, in seconds since 1970."""
        return self.team.time_in(store)

    def _known(self, sample_id: SampleId, annotator: str) -> Label | Skip:
        self._check_known([sample_id])
        return self.answer(sample_id, annotator)


def for_run(
    datamodule: ActiveLearningDataModule,
    run_path: Path,  # noqa: ARG001 - all labelers are built alike
    *,
    team: Mapping[str, Any] | None = None,
    begins: Any = "2026-01-05T08:00",
    **arguments: Any,
) -> DatasetLabelers:
    """Builds labelers who know the labels that a datamodule holds back.

    Args:
        datamodule: Knows the label of every sample.
        run_path: Not used.
        team: As in `TeamLabelers`; None for the labelers of `DatasetLabelers`.
        begins: As in `TeamLabelers`.
        **arguments: Those of `DatasetLabelers`, or of `TeamLabelers`.

    Raises:
        LabelError: The labels are not known, or a team comes with a number for all of them.
    """
    labels = HeldBackLabels(datamodule)
    if team is None:
        return DatasetLabelers(labels, **arguments)
    for name, none in (("annotators", 1), ("rate", None), ("hours", None)):
        if arguments.pop(name, none) != none:
            raise LabelError(f"labelers.{name}: expected {none} with a team, which says it itself")
    training_hours = arguments.pop("training_hours", None) or 0.25
    return TeamLabelers(
        labels, team=team, begins=begins, training_hours=training_hours, **arguments
    )


def _uniform(text: str) -> float:
    """Returns a number in [0, 1) that depends on a text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_fraction(name: str, value: Any) -> None:
    if not _is_number(value) or not 0 <= value < 1:
        raise LabelError(f"labelers.{name}: expected a number in [0, 1), got {value!r}")


def _check_times(rate: Any, **hours: Any) -> None:
    for name, value in {"rate": rate, **hours}.items():
        if value is not None and not (_is_number(value) and 0 < value < math.inf):
            raise LabelError(f"labelers.{name}: expected a positive number or null, got {value!r}")
        if value is not None and rate is None:
            raise LabelError(
                f"labelers.{name}={value}: expected labelers.rate too, the labels per hour"
            )

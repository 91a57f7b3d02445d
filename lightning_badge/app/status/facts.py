"""What can be said about a run from its files, while its loop runs or afterwards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning_badge.app.status.agreement import Agreement, agreement, latest_labels
from lightning_badge.app.status.changes import ChangeFacts, change_facts
from lightning_badge.app.status.outlook import run_outlook
from lightning_badge.app.status.run_files import RunFiles
from lightning_badge.app.status.todo import what_next
from lightning_badge.app.status.work_time import (
    Interval,
    annotator_times,
    joint_time,
    length,
    union,
)
from lightning_badge.labels import SKIP, Label, Skip, Undo, label_text
from lightning_badge.outlook import Outlook
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import is_model
from lightning_badge.store.priorities import Described, excluded, in_order


@dataclass(frozen=True)
class RoundFacts:
    """A round that was trained.

    Attributes:
        round: Number of the round.
        labeled: Labels that its model was trained on.
        pool: Samples that were left in the pool.
        asked: Labels that were asked for; None while the round is open.
        labels: Samples of its ordering that came back with a label.
        skips: Samples of its ordering that came back with a skip.
        value: The metric; None without validation data.
        change: Difference of the metric to the round before: what the labels between them brought.
        seconds: Time of training, validation and ordering.
    """

    round: int
    labeled: int
    pool: int
    asked: int | None
    labels: int
    skips: int
    value: float | None
    change: float | None
    seconds: float | None


@dataclass(frozen=True)
class AnnotatorFacts:
    """What an annotator answered, and how fast; ``median_s`` and ``per_hour`` without breaks."""

    annotator: str
    labels: int
    skips: int
    median_s: float | None
    per_hour: float | None


@dataclass(frozen=True)
class LeaseFacts:
    """A sample that a labeling session holds for some more seconds."""

    sample_id: SampleId
    session: str
    seconds_left: float


@dataclass(frozen=True)
class NextSample:
    """A sample that is asked next: its rank, and the model's guess, if the ordering has one."""

    rank: int
    sample_id: SampleId
    guess: str | None
    confidence: float | None


@dataclass(frozen=True)
class TimeFacts:
    """Times in seconds from the first event to the last one, or to now while a loop runs.

    Attributes:
        span_s: The whole time.
        trainer_idle_s: Time without training; None if the run does not say when it trained.
        labelers_idle_s: Time in which nobody labeled.
        labels_per_hour: Labels in an hour of an annotator's work; None in a simulation.
    """

    span_s: float
    trainer_idle_s: float | None
    labelers_idle_s: float
    labels_per_hour: float | None


@dataclass(frozen=True)
class RunFacts:
    """The state of a run.

    Attributes:
        run_dir: The run directory.
        holder: The process that runs the loop now, such as ``process 7 on host``; None if none.
        metric: Name of the metric.
        rounds: The rounds trained so far.
        outlook: What the last labels brought, and what the next ones may; None if too early.
        initial_labels: Labels that the run began with; None before the first round is trained.
        labels: Labels from annotators in force.
        labels_of_models: Those of them that a model gave.
        skipped: Samples whose answer in force is a skip.
        by_class: Number of these labels by class, most frequent first.
        annotators: The annotators, by name.
        agreement: Their agreement; None if no sample was labeled by two.
        leases: Samples that labeling sessions hold now.
        time: Working and waiting times; None before the first event.
        to_label: Samples of the newest ordering that nobody has answered; None without an ordering.
        next_samples: The first of them that no session holds.
        next_step: What to do now.
        remains: What remains of money and time; None if nothing limits them.
        changes: Changes of the budget and of priorities, in order.
    """

    run_dir: str
    holder: str | None
    metric: str
    rounds: list[RoundFacts]
    outlook: Outlook | None
    initial_labels: int | None
    labels: int
    labels_of_models: int
    skipped: int
    by_class: dict[str, int]
    annotators: list[AnnotatorFacts]
    agreement: Agreement | None
    leases: list[LeaseFacts]
    time: TimeFacts | None
    to_label: int | None
    next_samples: list[NextSample]
    next_step: str
    remains: str | None
    changes: list[ChangeFacts]


def run_facts(files: RunFiles, now: datetime, *, samples: int = 10) -> RunFacts:
    """Computes the facts of a run; reads no files.

    Args:
        files: What the run directory holds.
        now: The time at which leases are compared.
        samples: Most samples in ``next_samples``.
    """
    log = files.log
    rounds = _rounds(files)
    times = annotator_times(log.answers)
    labels = [a.label for a in log.in_force.values() if not isinstance(a.label, Skip | Undo)]
    leases = [lease for lease in log.leases if lease.expires_at > now]
    to_label, next_samples = _next_samples(files, {lease.sample_id for lease in leases}, samples)
    return RunFacts(
        run_dir=str(files.path),
        holder=files.holder,
        metric=files.metric,
        rounds=rounds,
        outlook=run_outlook(files),
        initial_labels=rounds[0].labeled if rounds else None,
        labels=len(labels),
        labels_of_models=sum(
            is_model(a.annotator)
            for a in log.in_force.values()
            if not isinstance(a.label, Skip | Undo)
        ),
        skipped=sum(answer.label is SKIP for answer in log.in_force.values()),
        by_class=_by_class(labels, files.class_names),
        annotators=[
            AnnotatorFacts(name, time.labels, time.skips, time.median_s, time.per_hour)
            for name, time in times.items()
        ],
        agreement=agreement(latest_labels(log.answers)),
        leases=[
            LeaseFacts(lease.sample_id, lease.session, (lease.expires_at - now).total_seconds())
            for lease in leases
        ],
        time=_times(files, now),
        to_label=to_label,
        next_samples=next_samples,
        next_step=what_next(files, to_label),
        remains=log.remains,
        changes=change_facts(log.changes),
    )


def _rounds(files: RunFiles) -> list[RoundFacts]:
    asked = {finished.round: finished.query_size for finished in files.log.rounds}
    # The last answer of each round to a sample: a later round may correct it.
    came: dict[int, dict[SampleId, Answer]] = {}
    for answer in files.log.answers:
        came.setdefault(answer.round, {})[answer.sample_id] = answer
    rounds: list[RoundFacts] = []
    for round, facts in sorted(files.round_facts.items()):
        answers = came.get(round, {}).values()
        value = facts.get("metrics", {}).get(files.metric)
        before = rounds[-1].value if rounds else None
        rounds.append(
            RoundFacts(
                round,
                facts["labeled"],
                facts["pool"],
                asked.get(round),
                labels=sum(not isinstance(answer.label, Skip | Undo) for answer in answers),
                skips=sum(answer.label is SKIP for answer in answers),
                value=value,
                change=None if value is None or before is None else value - before,
                seconds=facts.get("seconds"),
            )
        )
    return rounds


def _by_class(labels: Sequence[Label], names: Sequence[str] | None) -> dict[str, int]:
    """Counts classes; a label of several classes counts for each of them."""
    texts = [label_text(label, names) for label in labels]
    several = names is not None and any(isinstance(label, list) for label in labels)
    counts = Counter(name for text in texts for name in (text.split("|") if several else [text]))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _next_samples(
    files: RunFiles, leased: set[SampleId], most: int
) -> tuple[int | None, list[NextSample]]:
    ordering = files.ordering
    if ordering is None:
        return None, []
    ids: list[SampleId] = ordering.sample_ids.tolist()
    columns = ordering.columns()
    guesses, confidences = columns.get("hallucinated_label"), columns.get("confidence")
    ranks = [rank for rank in _ranks(files, ids, guesses) if ids[rank] not in files.log.in_force]
    first = [rank for rank in ranks if ids[rank] not in leased][:most]
    return len(ranks), [
        NextSample(
            rank,
            ids[rank],
            None if guesses is None else label_text(int(guesses[rank]), files.class_names),
            None if confidences is None else round(float(confidences[rank]), 4),
        )
        for rank in first
    ]


def _ranks(files: RunFiles, ids: Sequence[SampleId], guesses: Any) -> Sequence[int]:
    """Returns the ranks in the order in which their samples are asked for."""
    rules = files.log.rules
    if not rules:
        return range(len(ids))
    rank_of = {sample_id: rank for rank, sample_id in enumerate(ids)}

    def guess(sample_id: SampleId) -> str | None:
        rank = rank_of[sample_id]
        return None if guesses is None else label_text(int(guesses[rank]), files.class_names)

    described = Described(guess, files.log.columns)
    out = excluded(ids, rules, described)
    return [rank_of[key] for key in in_order(ids, rules, described) if key not in out]


def _times(files: RunFiles, now: datetime) -> TimeFacts | None:
    training = _training(files, now)
    labelers = joint_time(annotator_times(files.log.answers).values())
    events = [*(training or []), *labelers.busy]
    if not events:
        return None
    begin = min(interval[0] for interval in events)
    end = now.timestamp() if files.holder else max(interval[1] for interval in events)
    span = max(end - begin, 0.0)
    return TimeFacts(
        span,
        None if training is None else max(span - length(training), 0.0),
        max(span - length(labelers.busy), 0.0),
        labelers.per_hour,
    )


def _training(files: RunFiles, now: datetime) -> list[Interval] | None:
    """Returns when the trainer worked; None if the cut of a round has no time."""
    began = {(cut.round, cut.attempt): cut.made_at for cut in files.log.cuts}
    intervals: list[Interval] = []
    for round, facts in files.round_facts.items():
        made_at = began.pop((round, _attempt(facts)), None)
        if made_at is None:
            return None
        start = made_at.timestamp()
        intervals.append((start, start + (facts.get("seconds") or 0.0)))
    last = files.log.cuts[-1] if files.log.cuts else None
    if files.holder and last and last.made_at and last.round not in files.round_facts:
        intervals.append((last.made_at.timestamp(), now.timestamp()))
    return union(intervals)


def _attempt(facts: Mapping[str, Any]) -> int:
    attempt: int = facts.get("attempt", 0)
    return attempt

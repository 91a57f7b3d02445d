"""How long trainer and annotators worked and waited, from the times in the label store."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from lightning_badge.labels import Skip, Undo
from lightning_badge.store.answer import Answer

# A gap between two answers of one annotator is a break if it is longer than this, or than ten times
# the annotator's median gap: then the annotator waited for a training, for example.
BREAK_S, _BREAK_GAPS = 300.0, 10
# Answers that took less on average are not from people, so their speed says nothing.
_LEAST_S = 0.1

Interval = tuple[float, float]


@dataclass(frozen=True)
class AnnotatorTime:
    """The work of one annotator, or of all of them together.

    Attributes:
        labels: Number of labels given.
        skips: Number of skips.
        busy: When the annotator worked, disjoint and in order, in seconds since 1970.
        median_s: Median time of an answer; None if there is one answer without a time.
        per_hour: Labels in an hour of work, breaks excluded; None if they took less than 0.1 s
            each, as in a simulation.
    """

    labels: int
    skips: int
    busy: Sequence[Interval]
    median_s: float | None
    per_hour: float | None


def annotator_times(answers: Sequence[Answer]) -> dict[str, AnnotatorTime]:
    """Returns the work of each annotator, by name.

    An answer took the seconds stored with it, otherwise the time since the annotator's answer
    before it, but no longer than a break.

    Args:
        answers: Answers in the order of commits.
    """
    of_annotator: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        of_annotator[answer.annotator].append(answer)
    return {name: _time_of(given) for name, given in sorted(of_annotator.items())}


def joint_time(times: Iterable[AnnotatorTime]) -> AnnotatorTime:
    """Returns the work of several annotators together.

    ``busy`` are the times when any of them worked, and ``per_hour`` is for an hour of one of them.
    """
    times = list(times)
    labels, skips = sum(time.labels for time in times), sum(time.skips for time in times)
    rate = _rate(labels, [interval for time in times for interval in time.busy])
    busy = union(interval for time in times for interval in time.busy)
    return AnnotatorTime(labels, skips, busy, None, rate)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Returns disjoint intervals that cover the same times, in order.

    Example:
        >>> union([(5, 6), (0, 2), (1, 3)])
        [(0, 3), (5, 6)]
    """
    joined: list[Interval] = []
    for begin, end in sorted(intervals):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def length(intervals: Iterable[Interval]) -> float:
    """Returns the total length of disjoint intervals."""
    return sum(end - begin for begin, end in intervals)


def _time_of(answers: Sequence[Answer]) -> AnnotatorTime:
    at = [answer.received_at.timestamp() for answer in answers]
    gaps = [after - before for before, after in pairwise(at)]
    known = [gap for gap in gaps if gap <= BREAK_S]
    usual = median(known) if known else 0.0  # for first answers, also after a break
    longest = min(BREAK_S, _BREAK_GAPS * usual)
    took = [usual, *(gap if gap <= longest else usual for gap in gaps)]
    took = [
        took_s if answer.seconds is None else answer.seconds
        for took_s, answer in zip(took, answers, strict=True)
    ]
    busy = union(_one_after_another(at, took))
    labels = sum(not isinstance(answer.label, Skip | Undo) for answer in answers)
    skips = sum(isinstance(answer.label, Skip) for answer in answers)
    is_timed = len(answers) > 1 or answers[0].seconds is not None
    median_s = median(took) if is_timed else None
    return AnnotatorTime(labels, skips, busy, median_s, _rate(labels, busy))


def _one_after_another(at: Sequence[float], took: Sequence[float]) -> Iterator[Interval]:
    """Yields when each answer was worked on: one at a time, also if many arrived in one file."""
    next_begin = math.inf
    for end, took_s in zip(reversed(at), reversed(took), strict=True):
        end = min(end, next_begin)
        next_begin = end - took_s
        yield next_begin, end


def _rate(labels: int, busy: Sequence[Interval]) -> float | None:
    worked = length(busy)
    return 3600 * labels / worked if worked >= _LEAST_S * max(labels, 1) else None

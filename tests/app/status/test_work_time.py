from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.app.status.work_time import annotator_times, joint_time, length, union
from lightning_badge.labels import SKIP
from lightning_badge.store.answer import Answer

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def answer(at_s: float, annotator: str = "ann", *, seconds: float | None = None) -> Answer:
    at = START + timedelta(seconds=at_s)
    return Answer(round(at_s), 0, annotator, 0, at, round(at_s) + 1, seconds=seconds)


def test_a_pause_is_no_work() -> None:
    """Three answers, lunch, three answers: 2 x 3 times 10 s."""
    time = annotator_times([answer(at) for at in (10, 20, 30, 3610, 3620, 3630)])["ann"]
    assert length(time.busy) == pytest.approx(60)
    assert time.median_s == 10
    assert time.per_hour == pytest.approx(360)


def test_waiting_for_a_training_is_no_work() -> None:
    """Answers 2 s apart, and a minute between two rounds."""
    time = annotator_times([answer(at) for at in (2, 4, 6, 66, 68, 70)])["ann"]
    assert length(time.busy) == pytest.approx(12)


def test_known_seconds_count_instead_of_gaps() -> None:
    time = annotator_times([answer(100, seconds=4), answer(200, seconds=6)])["ann"]
    assert length(time.busy) == pytest.approx(10)
    assert (time.median_s, time.per_hour) == (5, pytest.approx(720))


def test_two_annotators_at_the_same_time_work_as_long_as_one() -> None:
    both = [answer(at, name) for at in range(10, 110, 10) for name in ("ann", "bob")]
    times = annotator_times(both)
    assert times["ann"].per_hour == times["bob"].per_hour == pytest.approx(360)
    together = joint_time(times.values())
    assert length(together.busy) == length(times["ann"].busy) == pytest.approx(100)
    assert together.per_hour == pytest.approx(360)
    assert (together.labels, together.skips) == (20, 0)


def test_answers_of_one_file_were_given_one_after_another() -> None:
    time = annotator_times([answer(100, seconds=4) for _ in range(20)])["ann"]
    assert length(time.busy) == pytest.approx(80)
    assert time.busy[-1][1] == START.timestamp() + 100
    assert time.per_hour == pytest.approx(900)


def test_skips_are_work_but_no_labels() -> None:
    skip = Answer(99, SKIP, "ann", 0, START + timedelta(seconds=20), 99)
    time = annotator_times([answer(10), skip])["ann"]
    assert (time.labels, time.skips) == (1, 1)
    assert time.per_hour == pytest.approx(180)


def test_a_simulation_has_no_speed() -> None:
    time = annotator_times([answer(10), answer(10.001)])["ann"]
    assert time.per_hour is None


def test_one_answer_without_a_time_has_none() -> None:
    time = annotator_times([answer(10)])["ann"]
    assert (time.median_s, time.per_hour) == (None, None)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)).map(lambda p: (p[0], sum(p)))))
def test_a_union_covers_the_same_times_once(intervals: list[tuple[int, int]]) -> None:
    joined = union(intervals)
    covered = {t for begin, end in intervals for t in range(begin, end)}
    assert {t for begin, end in joined for t in range(int(begin), int(end))} == covered
    assert length(joined) == len(covered)
    assert all(before[1] < after[0] for before, after in pairwise(joined))

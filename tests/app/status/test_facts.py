from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_badge.accuracy_change import change
from lightning_badge.app.status.facts import RunFacts, run_facts
from lightning_badge.app.status.run_files import RunFiles
from lightning_badge.app.status.show import shown, spark_line
from lightning_badge.forecast import forecast
from lightning_badge.labels import SKIP, Label, Skip, Undo
from lightning_badge.ordering import Ordering
from lightning_badge.outlook import in_words
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import answers_in_force
from lightning_badge.store.label_store import FinishedRound
from lightning_badge.store.run_log import Lease, MadeCut, RunLog

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def trained(labeled: int, accuracy: float | None = None, pool: int = 9) -> dict[str, Any]:
    metrics = {} if accuracy is None else {"val/accuracy": accuracy}
    return {"labeled": labeled, "pool": pool, "metrics": metrics, "seconds": 10.0, "attempt": 0}


def answer(
    id: int, sample_id: int, label: Label | Skip | Undo, round: int, seconds: float
) -> Answer:
    return Answer(sample_id, label, "ann", round, at(seconds), id, rank=0, seconds=5.0)


def log_of(
    answers: Sequence[Answer],
    rounds: Sequence[FinishedRound] = (),
    cuts: Sequence[MadeCut] = (),
    leases: Sequence[Lease] = (),
) -> RunLog:
    in_force = answers_in_force(answers)
    return RunLog(list(answers), in_force, [], list(rounds), list(cuts), list(leases))


ANSWERS = [
    *(answer(1, 5, 0, 0, 100), answer(2, 6, 1, 0, 110), answer(3, 7, SKIP, 0, 120)),
    *(answer(4, 8, 1, 1, 200), answer(5, 5, 1, 1, 210)),  # the last one corrects the first
]
FINISHED = FinishedRound(0, 2, trained(10, 0.5), at(121))
CUTS = [MadeCut(0, 0, 0, at(0)), MadeCut(1, 0, 3, at(122))]
LEASES = [Lease(9, "old tab", at(150)), Lease(3, "tab", at(330))]
ORDERING = Ordering([6, 9, 3, 8, 4], hallucinated_label=[0, 1, 0, 1, 1], confidence=[0.5] * 5)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """Two trained rounds, the second of which is being labeled."""
    return RunFiles(
        tmp_path,
        {"metric": "val/accuracy", "max_rounds": 9},
        log_of(ANSWERS, [FINISHED], CUTS, LEASES),
        {0: FINISHED.facts, 1: trained(12, 0.75)},
        ORDERING,
        holder=None,
        class_names=["cat", "dog"],
        query=None,
    )


def facts_of(files: RunFiles, now: float = 300, **arguments: Any) -> RunFacts:
    return run_facts(files, at(now), **arguments)


def test_rounds_say_what_came_and_what_it_brought(files: RunFiles) -> None:
    first, second = facts_of(files).rounds
    assert (first.asked, first.labels, first.skips) == (2, 2, 1)
    assert (second.asked, second.labels, second.labeled) == (None, 2, 12)
    assert (first.change, second.change) == (None, 0.25)


def test_the_last_labels_have_an_interval_and_the_next_ones_an_estimate(files: RunFiles) -> None:
    assert facts_of(files).outlook is not None
    assert facts_of(files).outlook.brought is None  # an earlier version counted no samples
    curve = [(10, 0.5), (20, 0.6), (40, 0.68), (80, 0.74)]
    rounds = {
        round: trained(labeled, accuracy, pool=70) | {"validated": 50}
        for round, (labeled, accuracy) in enumerate(curve)
    }
    found = facts_of(replace(files, round_facts=rounds)).outlook
    assert found is not None
    assert found.brought == change(0.68, 0.74, 50)
    assert found.expected == forecast([10, 20, 40, 80], [0.5, 0.6, 0.68, 0.74], 50, ahead=70)
    console = Console(width=300)
    with console.capture() as captured:
        console.print(shown(facts_of(replace(files, round_facts=rounds))))
    assert in_words(found) in captured.get()
    several = {**files.config, "data": {"multilabel": True}}
    found = facts_of(replace(files, round_facts=rounds, config=several)).outlook
    assert found is not None
    assert (found.brought, found.expected) == (None, None)


def test_labels_are_counted_as_they_are_in_force(files: RunFiles) -> None:
    facts = facts_of(files)
    assert (facts.initial_labels, facts.labels, facts.skipped) == (10, 3, 1)
    assert facts.by_class == {"dog": 3}
    (annotator,) = facts.annotators
    assert (annotator.labels, annotator.skips) == (4, 1)  # as given, corrections too


def test_labels_of_models_are_told_from_those_of_people(files: RunFiles) -> None:
    by_model = [
        replace(a, annotator="model:m", answer_id=a.answer_id + 9, sample_id=a.sample_id + 9)
        for a in ANSWERS[:3]
    ]
    facts = facts_of(replace(files, log=log_of([*ANSWERS, *by_model])))
    assert (facts.labels, facts.labels_of_models) == (5, 2)
    assert [row.annotator for row in facts.annotators] == ["ann", "model:m"]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(shown(facts))
    assert "5 labels from annotators (2 from models), and 10 initial ones" in captured.get()
    assert "model:m" in captured.get()


def test_a_label_of_several_classes_counts_for_each(files: RunFiles) -> None:
    answers = [answer(1, 5, [1.0, 1.0], 0, 1), answer(2, 6, [0.0, 1.0], 0, 2)]
    answers += [answer(3, 7, [0.0, 0.0], 0, 3)]
    assert facts_of(replace(files, log=log_of(answers))).by_class == {
        "dog": 2,
        "cat": 1,
        "none": 1,
    }


def test_next_are_the_highest_ranks_that_nobody_answered_or_holds(files: RunFiles) -> None:
    facts = facts_of(files)
    assert [(s.rank, s.sample_id, s.guess) for s in facts.next_samples] == [
        *((1, 9, "dog"), (4, 4, "dog"))
    ]
    assert facts.to_label == 3  # the leased one is to label, too
    assert [(lease.sample_id, lease.seconds_left) for lease in facts.leases] == [(3, 30.0)]
    assert [s.sample_id for s in facts_of(files, samples=1).next_samples] == [9]


def test_idle_times_are_the_span_without_work(files: RunFiles) -> None:
    time = facts_of(files).time
    assert time is not None
    assert time.span_s == 210  # from the first cut to the last answer
    assert time.trainer_idle_s == 210 - 2 * 10
    assert time.labelers_idle_s == 210 - 5 * 5
    running = facts_of(replace(files, holder="process 1 on here")).time
    assert running is not None
    assert running.span_s == 300


def test_a_round_in_training_is_work_until_now(files: RunFiles) -> None:
    cuts = [*CUTS, MadeCut(2, 0, 5, at(280))]
    log = log_of(ANSWERS, [FINISHED], cuts)
    time = facts_of(replace(files, log=log, holder="process 1 on here")).time
    assert time is not None
    assert time.trainer_idle_s == 300 - 2 * 10 - 20


def test_without_times_of_cuts_the_trainer_s_times_are_not_known(files: RunFiles) -> None:
    log = log_of(ANSWERS, [FINISHED], [replace(CUTS[0], made_at=None), CUTS[1]])
    time = facts_of(replace(files, log=log)).time
    assert time is not None
    assert time.trainer_idle_s is None
    assert time.labelers_idle_s > 0


def test_an_empty_run_has_facts_too(files: RunFiles) -> None:
    facts = facts_of(replace(files, log=log_of([]), round_facts={}, ordering=None))
    assert facts.rounds == facts.annotators == facts.next_samples == []
    assert (facts.time, facts.to_label, facts.agreement) == (None, None, None)
    assert facts.next_step.startswith("no round is trained yet")


class TestNextStep:
    def test_a_running_loop_needs_nothing(self, files: RunFiles) -> None:
        assert "is running (process 1" in facts_of(replace(files, holder="process 1")).next_step

    def test_a_query_is_to_be_labeled(self, files: RunFiles) -> None:
        log = log_of(ANSWERS[:3], [FINISHED], CUTS)
        asked = replace(files, log=log, query=files.path / "query.csv")
        assert facts_of(asked).next_step.startswith(f"label the rows of {asked.query}")

    def test_people_label_in_label_studio(self, files: RunFiles) -> None:
        page = "http://localhost:8080/projects/3/data?labeling=1"
        asked = replace(files, log=log_of(ANSWERS[:3], [FINISHED], CUTS), page=page)
        assert facts_of(asked).next_step.startswith(f"label at {page}, then give the")
        running = replace(asked, holder="process 1 on host")
        assert facts_of(running).next_step.endswith(f"(process 1 on host); label at {page}")

    def test_new_answers_are_to_be_trained_on(self, files: RunFiles) -> None:
        assert facts_of(files).next_step.startswith("2 answers came since the last training")

    def test_an_interrupted_run_goes_on(self, files: RunFiles) -> None:
        log = log_of(ANSWERS[:3], [FINISHED], CUTS)
        assert facts_of(replace(files, log=log)).next_step.endswith("it goes on with round 1")

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            ({"max_rounds": 2}, "max_rounds=2 is reached"),
            ({"total_labels": 12}, "total_labels=12 is reached"),
            ({"target_metric": 0.7}, "target_metric=0.7 is reached"),
        ],
    )
    def test_a_limit_ends_a_run(self, files: RunFiles, limits: dict[str, Any], reason: str) -> None:
        step = facts_of(replace(files, config={**files.config, **limits})).next_step
        assert step.startswith(f"the run ended: {reason}; `lightning-badge export ")

    def test_an_empty_pool_ends_a_run(self, files: RunFiles) -> None:
        facts = {0: FINISHED.facts, 1: trained(12, 0.75, pool=0)}
        assert "the pool is empty" in facts_of(replace(files, round_facts=facts)).next_step

    def test_an_exhausted_ordering_is_said(self, files: RunFiles) -> None:
        log = log_of(ANSWERS[:3], [FINISHED], CUTS)
        short = replace(files, log=log, ordering=Ordering([5, 6]))
        assert facts_of(short).next_step.startswith("nothing is left to label")


def test_a_spark_line_of_equal_values_is_flat() -> None:
    assert spark_line([0.5, 0.5, 0.5]) == "▁▁▁"

import itertools
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from loop_run import INITIAL, POOL, Accurate, Killed, Run
from tiny import CLASSES, LIGHTNING_WARNINGS, WIDTH, blobs, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import (
    ArtifactError,
    BadgeError,
    BudgetError,
    LabelError,
    RunDirectoryError,
)
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.answer_check import AnswerCheck
from lightning_badge.loop.budget import (
    Budget,
    CoverageBudget,
    FixedBudget,
    OnDemandBudget,
    ScheduleBudget,
    VariableBudget,
)
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.loop.train_round import round_seed
from lightning_badge.ordering import Ordering, order
from lightning_badge.ordering_file import read_ordering, write_ordering
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.allowance import allowed, ended
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.usefixtures("no_pictures")]


class GoesHome(DatasetLabelers):
    """Answers some samples of each round."""

    def __init__(self, run: Run, count: int) -> None:
        super().__init__(run.datamodule().held_back_labels())
        self.count = count

    def collect(self) -> Iterator[list[NewAnswer]]:
        yield from itertools.islice(super().collect(), self.count)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


class TestRun:
    def test_trains_on_all_labels_and_asks_in_the_order_of_the_ordering(self, run: Run) -> None:
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 16]
        for round in range(2):
            first = read_ordering(run.directory.ordering_path(round)).sample_ids[:5].tolist()
            with LabelStore(run.directory.labels_path) as store:
                assert [answer.sample_id for answer in store.answers(round)] == first
        assert run.labels() == {sample_id: sample_id % CLASSES for sample_id in run.labels()}

    def test_writes_all_files_and_prints_a_line_per_round(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        value = run.go(max_rounds=2)
        names = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
        rounds = {
            f"rounds/{round}/{name}"
            for round in ("000", "001")
            for name in ("ordering.parquet", "metrics.json", "best.ckpt")
        }
        curve = {"learning_curve.csv", "learning_curve.png"}
        assert names == {"labels.db", "run.lock"} | curve | rounds
        columns = "round,labels,val/accuracy,area_under_learning_curve"
        assert run.curve().splitlines()[0] == columns
        assert run.curve().splitlines()[2].startswith(f"1,11,{value:.6g},")
        facts = json.loads(run.directory.metrics_path(1).read_text())
        assert facts["metrics"] == {"val/accuracy": pytest.approx(value)}
        assert (facts["round"], facts["labeled"], facts["pool"]) == (1, 11, 49)
        assert facts["validated"] == 30
        lines = run.console.getvalue().splitlines()
        assert lines[4].startswith("       the last 5 labels: ")
        assert "(80 %, paired: " in lines[4]
        assert [line.split()[:3] for line in lines[2:4]] == [["000", "6", "5"], ["001", "11", "-"]]

    def test_the_last_round_asks_for_no_labels_and_orders_the_remaining_pool(
        self, run: Run
    ) -> None:
        run.go(max_rounds=2)
        with LabelStore(run.directory.labels_path) as store:
            assert store.finished_rounds() == [0]
        ordering = read_ordering(run.directory.ordering_path(1))
        assert not set(ordering) & set(run.labels())

    def test_does_not_depend_on_the_global_random_state(self, tmp_path: Path) -> None:
        runs = [Run(tmp_path / str(seed), VariableBudget(2, 9)) for seed in range(2)]
        for seed, run in enumerate(runs):
            seed_everything(seed, verbose=False)
            run.go(max_rounds=3)
        assert runs[0].curve() == runs[1].curve()
        assert runs[0].labels() == runs[1].labels()


class TestEnd:
    @pytest.mark.parametrize(
        ("budget", "limits", "trained", "why"),
        [
            (FixedBudget(5), {"max_rounds": 2}, [6, 11], "max_rounds=2 is reached"),
            (FixedBudget(5), {"total_labels": 13}, [6, 11, 13], "total_labels=13 is reached"),
            (FixedBudget(5), {"total_labels": 3}, [6], "total_labels=3 is reached"),
            (FixedBudget(5), {"target_metric": 1e-9}, [6], "target_metric=1e-09 is reached"),
            (ScheduleBudget([2, 9]), {}, [6, 8, 17], "the budget asks for no more labels"),
        ],
    )
    def test_follows_a_training_on_all_labels(
        self, run: Run, budget: Budget, limits: Any, trained: list[int], why: str
    ) -> None:
        run.budget = budget
        run.go(**limits)
        assert run.trained == trained
        assert run.last_line() == f"run ended: {why}"

    @pytest.mark.filterwarnings("ignore:BadgeCallback. the pool is empty")
    def test_is_reached_when_the_pool_is_empty_and_not_trained_again(self, run: Run) -> None:
        run.budget = FixedBudget(20)
        run.skip_fraction = 0.2
        run.go()
        assert len(run.trained) == 3
        assert run.trained[2] == INITIAL + len(run.labels()) < POOL
        assert run.last_line() == "run ended: the pool is empty"
        run.go()
        assert len(run.trained) == 3

    def test_is_reached_when_nobody_answers_but_the_round_is_not_finished(self, run: Run) -> None:
        run.labelers = GoesHome(run, 0)
        run.go()
        assert run.last_line() == "run ended: the labelers have no answers; run again to ask again"
        run.labelers = None
        run.go(max_rounds=2)
        assert run.trained == [6, 11]


class TestLabelersWhoGoHome:
    def test_end_the_round_with_the_answers_that_they_gave(self, run: Run) -> None:
        run.labelers = GoesHome(run, 2)
        run.go(max_rounds=3)
        assert run.trained == [6, 8, 10]
        with LabelStore(run.directory.labels_path) as store:
            assert [finished.query_size for finished in store.rounds()] == [5, 5]

    def test_hand_back_what_they_hold(self, run: Run) -> None:
        run.labelers = GoesHome(run, 2)
        run.go(max_rounds=2)
        with LabelStore(run.directory.labels_path) as store:
            assert store.leases.unexpired(0.0) == {}


class TestSeveralAnnotators:
    def test_samples_without_agreement_stay_in_the_pool_and_are_asked_first(self, run: Run) -> None:
        with RunDirectory(run.path) as directory, LabelStore(directory.labels_path) as store:
            store.set_consensus("unanimous")
        known = run.datamodule().held_back_labels()
        run.labelers = DatasetLabelers(known, annotators=2, noise=0.3)
        run.go(max_rounds=2, overlap=2)
        assert run.trained == [6, 11]
        with LabelStore(run.directory.labels_path) as store:
            labels = store.labels()
            answered = {answer.sample_id for answer in store.answers()}
            tied = answered - labels.keys()
            assert len(labels) == 5
            assert tied, "noise makes annotators disagree"
            ordering = read_ordering(run.directory.ordering_path(1))
            assert tied <= set(ordering)
            query = Query(store, store.cuts(1)[-1], ordering, overlap=2)
            query.allow(None)
            first = query.lease("eve", len(tied), annotator="eve")
        assert {offer.sample_id for offer in first} == tied


class TestSkips:
    def test_do_not_count_towards_the_query_size_and_leave_the_pool(self, run: Run) -> None:
        run.skip_fraction = 0.4
        run.go(max_rounds=4)
        assert run.trained == [6, 11, 16, 21]
        with LabelStore(run.directory.labels_path) as store:
            answers = store.answers()
        skipped = {answer.sample_id: answer.round for answer in answers if answer.label is SKIP}
        assert skipped
        assert len({answer.sample_id for answer in answers}) == len(answers)
        for round in range(4):
            ordering = set(read_ordering(run.directory.ordering_path(round)))
            assert not ordering & {key for key, when in skipped.items() if when < round}


class StopOnce(Callback):
    """Simulates a kill in the training on a given number of labels, once."""

    def __init__(self, labels: int) -> None:
        self.labels: int | None = labels

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        datamodule: Any = trainer.datamodule
        if len(datamodule.labeled_ids) == self.labels and trainer.global_step == 2:
            self.labels = None
            raise Killed


class StoppingLabelers(DatasetLabelers):
    """Simulates a kill after seven answers were committed."""

    until_kill = 7

    def collect(self) -> Iterator[list[NewAnswer]]:
        for batch in super().collect():
            if not self.until_kill:
                self.until_kill = -1
                raise Killed
            self.until_kill -= 1
            yield batch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run."""
    whole = Run(tmp_path_factory.mktemp("runs") / "whole", skip_fraction=0.3)
    whole.go(max_rounds=3)
    return whole


@pytest.mark.slow
class TestKilledRun:
    def assert_ends_as(self, run: Run, whole: Run) -> None:
        assert run.labels() == whole.labels()
        assert run.curve() == whole.curve()
        for round in range(3):
            orderings = [read_ordering(r.directory.ordering_path(round)) for r in (run, whole)]
            assert orderings[0].sample_ids.tolist() == orderings[1].sample_ids.tolist()

    def test_killed_in_training_only_that_round_is_trained_again(
        self, run: Run, whole: Run
    ) -> None:
        run.skip_fraction = whole.skip_fraction
        run.extra_callbacks = [StopOnce(labels=11)]
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 11, 16]
        self.assert_ends_as(run, whole)
        assert {path.name for path in run.directory.round_path(1).iterdir()} == {
            *("best.ckpt", "metrics.json", "ordering.parquet")
        }

    def test_killed_while_asking_it_asks_for_the_rest_without_training(
        self, run: Run, whole: Run
    ) -> None:
        known = run.datamodule().held_back_labels()
        run.labelers = StoppingLabelers(known, skip_fraction=whole.skip_fraction)
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        with LabelStore(run.directory.labels_path) as store:
            assert len(store.answers()) == 7
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 16]
        self.assert_ends_as(run, whole)

    def test_killed_between_ordering_and_metrics_the_round_is_trained_again(
        self, run: Run, whole: Run
    ) -> None:
        run.skip_fraction = whole.skip_fraction
        run.go(max_rounds=2)
        run.directory.metrics_path(1).unlink()
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 11, 16]
        self.assert_ends_as(run, whole)

    def test_an_ordering_lost_while_asking_is_computed_again(self, run: Run, whole: Run) -> None:
        known = run.datamodule().held_back_labels()
        run.labelers = StoppingLabelers(known, skip_fraction=whole.skip_fraction)
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        with LabelStore(run.directory.labels_path) as store:
            asking = len(store.finished_rounds())
        run.directory.ordering_path(asking).unlink()
        run.go(max_rounds=3)
        self.assert_ends_as(run, whole)

    def test_continues_when_a_limit_is_raised(self, run: Run, whole: Run) -> None:
        run.skip_fraction = whole.skip_fraction
        run.go(max_rounds=1)
        run.go(total_labels=11)
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 16]
        self.assert_ends_as(run, whole)

    def test_continues_in_a_directory_that_was_moved(self, run: Run, whole: Run) -> None:
        run.skip_fraction = whole.skip_fraction
        run.go(max_rounds=2)
        run.path = run.path.rename(run.path.with_name("moved"))
        run.go(max_rounds=3)
        self.assert_ends_as(run, whole)


class Interrupted(DatasetLabelers):
    """Simulates a kill after a number of answers, in all."""

    def __init__(self, run: Run, until_kill: int, **arguments: Any) -> None:
        super().__init__(run.datamodule().held_back_labels(), **arguments)
        self.until_kill = until_kill

    def _work(self, *args: Any, **kwargs: Any) -> Iterator[list[NewAnswer]]:
        for batch in super()._work(*args, **kwargs):
            if not self.until_kill:
                raise Killed
            self.until_kill -= 1
            yield batch


@pytest.mark.slow
class TestVirtualClock:
    def go(self, run: Run, *kills: int) -> list[tuple[Any, ...]]:
        run.budget = OnDemandBudget(at_least=6)
        clock = {"rate": 4.0, "training_hours": 1.0, "annotators": 2, "skip_fraction": 0.2}
        for until_kill in kills:
            run.labelers = Interrupted(run, until_kill, **clock)
            with pytest.raises(Killed):
                run.go(max_rounds=4)
        run.labelers = Interrupted(run, 10**9, **clock)
        run.go(max_rounds=4)
        with LabelStore(run.directory.labels_path) as store:
            return [(a.sample_id, a.label, a.annotator, a.round) for a in store.answers()]

    def test_people_go_on_while_a_model_is_trained(self, run: Run) -> None:
        answers = self.go(run)
        with LabelStore(run.directory.labels_path) as store:
            cuts = [store.cuts(round)[-1].last_answer_id for round in range(4)]
            late = [
                sum(a.answer_id > cuts[round + 1] for a in store.answers(round))
                for round in range(3)
            ]
        # Two annotators, four labels an hour, one hour; no model would learn from answers that come
        # while the last one is trained.
        assert late == [8, 8, 0]
        # Those answers are enough for the next training, so that nobody is asked in between.
        assert len(answers) == cuts[-1]

    def test_a_killed_run_ends_as_one_that_was_not(self, run: Run, tmp_path: Path) -> None:
        whole = Run(tmp_path / "whole")
        expected = self.go(whole)
        run.extra_callbacks = [StopOnce(labels=whole.trained[1])]
        with pytest.raises(Killed):
            self.go(run)
        assert self.go(run, 3, 4) == expected
        assert run.curve() == whole.curve()


class TestOrderingFile:
    def go_once_and_change(self, run: Run, **changes: Any) -> Path:
        """Changes the ordering of round 1, which has not asked for labels yet; returns its path."""
        run.go(max_rounds=2)
        path = run.directory.ordering_path(1)
        found = read_ordering(path)
        ids = changes.pop("sample_ids", found.sample_ids)
        write_ordering(Ordering(ids, metadata={**found.metadata, **changes}), path)
        return path

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("round", 0),
            ("round", None),
            ("checkpoint", "/runs/digits/rounds/000/best.ckpt"),
            ("checkpoint", None),
            ("pool_fingerprint", "of another pool"),
        ],
    )
    def test_of_another_round_checkpoint_or_pool_is_an_error(
        self, run: Run, key: str, value: Any
    ) -> None:
        path = self.go_once_and_change(run, **{key: value})
        with pytest.raises(ArtifactError, match=f"{path}: .* with {key} .* delete it and run"):
            run.go(max_rounds=3)

    @pytest.mark.parametrize("round", [0, 1])
    def test_that_is_damaged_is_an_error_until_it_is_deleted(self, run: Run, round: int) -> None:
        run.go(max_rounds=2)
        path = run.directory.ordering_path(round)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ArtifactError, match=f"{path}: .* delete it"):
            run.go(max_rounds=2)
        path.unlink()
        run.go(max_rounds=2)
        assert run.trained == ([6, 11] if round == 0 else [6, 11, 11])

    @pytest.mark.filterwarnings("ignore:.*ordering.parquet")
    def test_of_another_program_needs_only_two_columns(self, run: Run) -> None:
        run.go(max_rounds=1)
        pool = np.arange(POOL)[::-1]
        pool = pool[~np.isin(pool, run.datamodule().labeled_ids)]
        table = pa.table({"rank": np.arange(len(pool)), "sample_id": pool})
        pq.write_table(table, run.directory.ordering_path(0))
        run.go(max_rounds=2)
        assert list(run.labels()) == pool[:5].tolist()

    @pytest.mark.filterwarnings("ignore:.*ordering.parquet")
    def test_of_another_program_with_ids_outside_the_pool_is_an_error(self, run: Run) -> None:
        run.go(max_rounds=1)
        table = pa.table({"rank": [0, 1], "sample_id": [99, 98]})
        pq.write_table(table, run.directory.ordering_path(0))
        with pytest.raises(ArtifactError, match="sample ids 99, 98 are not in the pool of 54"):
            run.go(max_rounds=2)

    def test_that_is_too_short_yields_fewer_labels_and_a_warning(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run.badge = {"k": 3}
        run.go(max_rounds=2)
        assert run.trained == [6, 9]
        assert "got 3 labels instead of 5 because its ordering has only 3 of 54" in caplog.text


class TestErrors:
    def test_an_empty_pool_at_the_start(self, run: Run) -> None:
        datamodule = ActiveLearningDataModule(blobs(9), initial_labeled=9)
        with pytest.raises(LabelError, match="the pool is empty at the start: all 9 samples"):
            ActiveLearningLoop(
                *[lambda *_: None] * 2,
                *(datamodule, FixedBudget(5), DatasetLabelers({})),
                *(LabelStore(":memory:"), run.directory),
            )

    def test_a_trainer_without_an_ordering_callback(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(BadgeCallback, "on_validation_end", lambda *_: None)
        with pytest.raises(MisconfigurationException, match="ordering.parquet after training"):
            run.go()

    def test_a_checkpoint_at_another_path(self, run: Run) -> None:
        def make_other_trainer(round: int, directory: Path) -> Trainer:
            callbacks = [ModelCheckpoint(directory, "last", monitor=None)]
            return make_trainer(directory, callbacks=callbacks, enable_checkpointing=True)

        run.make_trainer = make_other_trainer
        with pytest.raises(MisconfigurationException, match="best.ckpt after fit, got .*last.ckpt"):
            run.go()

    def test_a_metric_that_validation_does_not_log(self, run: Run) -> None:
        with pytest.raises(MisconfigurationException, match="no 'val/f1', only val/accuracy"):
            run.go(metric="val/f1")

    @pytest.mark.parametrize("size", [-1, 2.5, True])
    def test_a_query_size_that_is_not_a_number_of_labels(self, run: Run, size: Any) -> None:
        class Odd:
            def query_size(self, **facts: Any) -> Any:
                return size

        run.budget = Odd()
        with pytest.raises(BudgetError, match=f"query size of 0 or more, got {size}"):
            run.go()

    def test_invalid_metrics_of_a_round(self, run: Run) -> None:
        run.go(max_rounds=1)
        run.directory.metrics_path(0).write_text('{"accuracy": 1}')
        with pytest.raises(RunDirectoryError, match="metrics.json: not a round's metrics"):
            run.go(max_rounds=1)

    def test_weights_that_are_nan(self, run: Run) -> None:
        class Poison(Callback):
            def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
                with torch.no_grad():
                    pl_module.network[0].weight.fill_(float("nan"))

        run.extra_callbacks = [Poison()]
        with pytest.raises(BadgeError, match="NaN"):
            run.go()


def test_without_validation_in_fit_the_last_weights_are_used(run: Run) -> None:
    def unvalidated(round: int, directory: Path) -> Trainer:
        badge = BadgeCallback(dirpath=directory, round=round, when="never")
        return make_trainer(directory, callbacks=[badge], check_val_every_n_epoch=9)

    run.make_trainer = unvalidated
    run.go(max_rounds=2)
    assert run.trained == [6, 11]
    weights = torch.load(run.directory.checkpoint_path(0), weights_only=True)["state_dict"]
    assert weights["network.0.weight"].shape[1] == WIDTH


class TestWithoutValidationData:
    @pytest.fixture
    def unvalidated(self, run: Run) -> Run:
        datamodule = run.datamodule

        def without_validation() -> ActiveLearningDataModule:
            made = datamodule()
            made._val = None
            return made

        run.datamodule = without_validation
        return run

    @pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
    @pytest.mark.filterwarnings("ignore:`ModelCheckpoint.monitor='val/accuracy'.` could not find")
    def test_rounds_order_by_the_last_weights(
        self, unvalidated: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        value = unvalidated.go(max_rounds=3)
        assert math.isnan(value)
        assert unvalidated.trained == [6, 11, 16]
        directory = unvalidated.directory
        saved = torch.load(directory.checkpoint_path(0), weights_only=True)["state_dict"]
        model = Accurate()
        model.load_state_dict(saved)
        datamodule = unvalidated.datamodule()
        ordering = read_ordering(directory.ordering_path(0))
        embedding = capture(model, datamodule.pool_dataloader())
        assert list(ordering) == list(order(embedding, seed=round_seed(0, 0)))
        assert not directory.learning_curve_csv_path.exists()
        said = [text for text in caplog.messages if "no validation data" in text]
        assert len(said) == 1
        assert "no learning curve" in said[0]

    @pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
    @pytest.mark.filterwarnings("ignore:`ModelCheckpoint.monitor='val/accuracy'.` could not find")
    def test_a_run_that_is_started_again_goes_on(self, unvalidated: Run) -> None:
        unvalidated.go(max_rounds=2)
        unvalidated.go(max_rounds=3)
        assert unvalidated.trained == [6, 11, 16]

    def test_a_target_of_the_metric_is_refused(self, unvalidated: Run) -> None:
        with pytest.raises(MisconfigurationException, match="no validation data to measure"):
            unvalidated.go(target_metric=0.9)


def test_the_files_of_a_finished_round_are_not_needed(run: Run) -> None:
    run.go(max_rounds=3)
    shutil.rmtree(run.directory.round_path(0))
    run.go(max_rounds=3)
    assert run.trained == [6, 11, 16]


def answer(run: Run, *pairs: tuple[Any, Any], round: int = 0, annotator: str = "ann") -> None:
    with LabelStore(run.directory.labels_path) as store:
        store.record(round, pairs, annotator=annotator)


class Answering(Callback):
    """Commits answers of another process in the training on a given number of labels, once."""

    def __init__(self, run: Run, labels: int, *pairs: tuple[Any, Any]) -> None:
        self.run, self.labels, self.pairs = run, labels, pairs
        self.seen: list[dict[Any, Any]] = []

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        datamodule: Any = trainer.datamodule
        self.seen.append(datamodule.labels_dict())
        if len(datamodule.labeled_ids) == self.labels and self.pairs:
            answer(self.run, *self.pairs)
            self.pairs = ()


class TestCuts:
    def pool(self, run: Run) -> list[int]:
        return run.datamodule().pool_ids.tolist()

    def changes(self, run: Run) -> tuple[list[int], list[tuple[int, Any]]]:
        """Returns the samples that round 0 asks for, and changes: corrected, skipped, late."""
        probe = Run(run.path.with_name("probe"))
        probe.go(max_rounds=2)
        asked = list(probe.labels())
        ordering = read_ordering(probe.directory.ordering_path(0)).sample_ids.tolist()
        late = ordering[-1]
        wrong = (asked[0] + 1) % CLASSES
        return [*asked, late], [(asked[0], wrong), (asked[1], SKIP), (late, 0)]

    @pytest.mark.parametrize("resumed", [False, True])
    def test_late_answers_and_corrections_take_effect_at_the_next_cut(
        self, run: Run, resumed: bool
    ) -> None:
        asked, changes = self.changes(run)
        answering = Answering(run, 11, *changes)
        run.extra_callbacks = [answering]
        if resumed:
            run.go(max_rounds=2)
            run.go(max_rounds=3)
        else:
            run.go(max_rounds=3)
        round_1, round_2 = answering.seen[1], answering.seen[2]
        # The skipped sample left the labeled set; the late one is the first of the five of round 1.
        assert run.trained[:3] == [6, 11, 15]
        assert round_1[asked[0]] == asked[0] % CLASSES
        assert asked[1] in round_1
        assert asked[-1] not in round_1
        assert round_2[asked[0]] == changes[0][1]
        assert asked[1] not in round_2
        assert round_2[asked[-1]] == 0
        # The late answer is not asked for again, and the skipped sample leaves the pool.
        last = read_ordering(run.directory.ordering_path(2)).sample_ids.tolist()
        assert not {asked[1], asked[-1]} & set(last)
        with LabelStore(run.directory.labels_path) as store:
            answers = store.answers()
            assert [len(store.cuts(round)) for round in range(3)] == [1, 1, 1]
        assert sum(a.sample_id == asked[-1] for a in answers) == 1

    def test_a_new_attempt_after_a_kill_uses_the_answers_that_came_meanwhile(
        self, run: Run
    ) -> None:
        late = self.pool(run)[-1]
        run.extra_callbacks = [Answering(run, 11, (late, 0)), StopOnce(labels=11)]
        with pytest.raises(Killed):
            run.go(max_rounds=2)
        run.go(max_rounds=2)
        assert run.trained == [6, 11, 12]
        with LabelStore(run.directory.labels_path) as store:
            cuts = store.cuts(1)
        assert [cut.attempt for cut in cuts] == [0, 1]
        assert cuts[1].last_answer_id > cuts[0].last_answer_id

    def test_an_undone_answer_returns_the_sample_to_the_pool(self, run: Run) -> None:
        run.go(max_rounds=2)
        first = next(iter(run.labels()))
        answer(run, (first, UNDO), annotator="dataset")
        shutil.rmtree(run.directory.round_path(1))
        run.go(max_rounds=2)
        assert run.trained == [6, 11, 10]
        assert first in set(read_ordering(run.directory.ordering_path(1)))

    def test_an_initial_label_may_be_corrected(self, run: Run) -> None:
        initial = int(run.datamodule().labeled_ids[0])
        run.go(max_rounds=1)
        answer(run, (initial, SKIP))
        run.go(max_rounds=2)
        assert run.trained[-1] == 10


class Allowances(Callback):
    """Notes what labelers may do while each round is trained."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.seen: list[tuple[int, int | None] | None] = []
        self.left: list[int] = []

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        with LabelStore(self.run.directory.labels_path) as store:
            facts = allowed(store.changes)
            self.seen.append(facts and (facts["round"], facts["labels"]))
            if facts is None:
                return
            round = facts["round"]
            path = self.run.directory.ordering_path(round)
            if not path.exists():
                return
            initial = self.run.datamodule().labeled_ids.tolist()
            query = Query(store, store.cuts(round)[-1], read_ordering(path), initial=initial)
            self.left.append(len(query.lease("eve", 99)))
            query.release("eve")


class TestMeanwhile:
    def go(self, run: Run, budget: Budget, **limits: Any) -> Allowances:
        run.budget = budget
        noted = Allowances(run)
        run.extra_callbacks = [noted]
        run.go(**limits)
        return noted

    def test_people_may_go_on_as_far_as_the_next_query(self, run: Run) -> None:
        noted = self.go(run, ScheduleBudget([5, 7, 2]))
        assert noted.seen == [None, (0, 12), (1, 9), (2, 2)]
        assert noted.left == [7, 2, 0]

    def test_the_last_round_needs_no_labels(self, run: Run) -> None:
        noted = self.go(run, FixedBudget(5), max_rounds=3)
        assert noted.seen == [None, (0, 10), (1, 5)]
        assert noted.left == [5, 0]

    def test_a_budget_without_a_size_sets_no_limit(self, run: Run) -> None:
        noted = self.go(run, OnDemandBudget(at_least=4), max_rounds=4)
        assert noted.seen == [None, (0, None), (1, None), (2, 4)]
        assert noted.left == [POOL - INITIAL - 4, POOL - INITIAL - 8, 0]

    @pytest.mark.parametrize("budget", [FixedBudget(5), OnDemandBudget(at_least=5)])
    def test_a_limit_of_labels_holds(self, run: Run, budget: Budget) -> None:
        noted = self.go(run, budget, total_labels=13)
        assert noted.seen == [None, (0, 7), (1, 2)]
        assert noted.left == [2, 0]

    def test_a_budget_that_needs_the_new_ordering_makes_people_wait(self, run: Run) -> None:
        noted = self.go(run, CoverageBudget(coverage=0.2, high=9), max_rounds=3)
        assert [seen and seen[0] for seen in noted.seen] == [None, 0, 1]
        assert noted.left == [0, 0]

    def test_a_new_attempt_allows_as_much_beyond_what_came_meanwhile(self, run: Run) -> None:
        late = run.datamodule().pool_ids[-1].item()
        noted = Allowances(run)
        answering = Answering(run, 11, (late, 0))
        run.extra_callbacks = [noted, answering, StopOnce(labels=11)]
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 12, 17]
        assert noted.seen == [None, (0, 10), (0, 11), (1, 5)]
        assert noted.left == [5, 5, 0]

    def test_an_ordering_that_was_published_keeps_its_allowance(self, run: Run) -> None:
        run.labelers = GoesHome(run, 2)
        run.go(max_rounds=2)
        run.labelers = StoppingLabelers(run.datamodule().held_back_labels())
        run.labelers.until_kill = 2
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        run.directory.ordering_path(1).unlink()
        run.labelers = None
        noted = self.go(run, run.budget, max_rounds=3)
        assert noted.seen == [(1, 5), (1, 5)]

    def test_the_end_is_in_the_store_until_a_limit_is_raised(self, run: Run) -> None:
        def end_of() -> Any:
            with LabelStore(run.directory.labels_path) as store:
                found = ended(store.changes)
                return found and (found.facts, len(store.changes.of("end")))

        run.go(max_rounds=2)
        reached = {"round": 1, "reason": "max_rounds=2 is reached"}
        assert end_of() == (reached, 1)
        run.go(max_rounds=2)
        assert end_of() == (reached, 1)
        run.labelers = StoppingLabelers(run.datamodule().held_back_labels())
        run.labelers.until_kill = 2
        with pytest.raises(Killed):
            run.go(max_rounds=3)
        assert end_of() is None

    def test_a_query_that_is_asked_again_is_not_at_its_end(self, run: Run) -> None:
        seen = []

        class Looking(GoesHome):
            def collect(self) -> Iterator[list[NewAnswer]]:
                with LabelStore(run.directory.labels_path) as store:
                    seen.append(ended(store.changes))
                yield from ()

        for _ in range(2):
            run.labelers = Looking(run, 0)
            run.go()
            with LabelStore(run.directory.labels_path) as store:
                assert ended(store.changes)
        assert seen == [None, None]


class TestAnswersThatCannotBeUsed:
    def test_are_not_stored(self, run: Run) -> None:
        class Bad(DatasetLabelers):
            def answer(self, sample_id: SampleId, annotator: str = "dataset") -> Any:
                return "cat"

        run.labelers = Bad(run.datamodule().held_back_labels())
        with pytest.raises(LabelError, match=r"label 'cat' \(str\) cannot .*; it is not stored"):
            run.go(max_rounds=2)
        with LabelStore(run.directory.labels_path) as store:
            assert store.answers() == []
        run.labelers = None
        run.go(max_rounds=2)
        assert run.trained == [6, 11]

    def test_that_are_stored_are_reported_once_and_ignored(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        run.go(max_rounds=1)
        answer(run, (run.datamodule().pool_ids[0].item(), "cat"), (99, 0))
        run.go(max_rounds=3)
        assert run.trained == [6, 11, 16]
        assert sum("ignoring 2 answers" in text for text in caplog.messages) == 1

    def test_include_a_class_without_a_name(self, run: Run) -> None:
        datamodule = run.datamodule()
        datamodule.class_names = ("a", "b", "c")
        with LabelStore(":memory:") as store:
            classes = ClassList(store, datamodule.class_names)
            check = AnswerCheck(datamodule, LabeledSet(datamodule), classes)
            assert check(0, 2) is None
            assert check(0, 99) == "sample 0: label 99: expected a class from 0 to 2"
            assert check("0", 2) == "sample '0' is not in the training data"
        assert len(datamodule.labeled_ids) == INITIAL

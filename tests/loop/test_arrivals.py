"""Samples that arrive while a run goes on: real Trainers, real label stores."""

import io
import itertools
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from loop_run import Accurate, Killed
from rich.console import Console
from tiny import CLASSES, LIGHTNING_WARNINGS, blobs, make_trainer
from torch.utils.data import TensorDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.labels import Label
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.arrivals import Arrivals
from lightning_badge.loop.budget import FixedBudget
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.loop.train_round import round_seed
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow, pytest.mark.usefixtures("no_pictures")]

POOL, INITIAL, MORE = 40, 6, 12
ALL = POOL + MORE


@dataclass
class Batch:
    sample_ids: list[int]


def everything() -> TensorDataset:
    """The last two of those that arrive are far from all others."""
    x, y = blobs(ALL).tensors
    x = x.clone()
    x[-2:] *= 40
    return TensorDataset(x, y)


class Growing(ActiveLearningDataModule):
    """Data of which a part arrives later."""

    def arrive(self, found: Batch) -> dict[int, Label]:
        if -1 in found.sample_ids:
            raise LabelError("no such sample")
        x, y = everything().tensors
        rows = torch.tensor(found.sample_ids)
        self.add(TensorDataset(x[rows], y[rows]), sample_ids=found.sample_ids, labels=y[rows])
        return {}


@dataclass
class Source:
    """Batches that are found by the n-th look; ``read`` finds what has not vanished."""

    found_at: dict[int, list[int]]
    vanished: set[int] = field(default_factory=set)
    looks: int = 0
    known: set[int] = field(default_factory=set)
    every_s = 2.0
    is_waiting = False

    def poll(self) -> Batch | None:
        self.looks += 1
        ids = [
            key
            for look, batch in self.found_at.items()
            if look <= self.looks
            for key in batch
            if key not in self.known
        ]
        return self._found(ids)

    def read(self, sample_ids: Collection[int]) -> Batch | None:
        return self._found([key for key in sample_ids if key not in self.vanished])

    def _found(self, ids: list[int]) -> Batch | None:
        self.known.update(ids)
        return Batch(ids) if ids else None


class Asked(DatasetLabelers):
    """Records who was asked for, and what the query had published."""

    asked: list[int]
    dies_at: int | None = None

    def _one(self, query: Query, name: str) -> Iterator[list[NewAnswer]]:
        for batch in super()._one(query, name):
            if self.dies_at is not None and len(self.asked) >= self.dies_at:
                raise Killed
            self.asked += [answer.sample_id for answer in batch]
            yield batch


@dataclass
class Run:
    path: Path
    source: Source
    during: bool = False
    strategy: str = "badge"
    k: int = 6
    ranks: int | None = None
    asked: list[int] = field(default_factory=list)

    def go(self, *, max_rounds: int, dies_at: int | None = None) -> None:
        x, y = everything().tensors
        datamodule = Growing(
            TensorDataset(x[:POOL], y[:POOL]),
            blobs(20, seed=1),
            initial_labeled=INITIAL,
            labels=y[:POOL],
        )
        labelers = Asked(dict(enumerate(y.tolist())))
        labelers.asked, labelers.dies_at = self.asked, dies_at
        ticks = itertools.count(0, 10)
        source = Source(self.source.found_at, self.source.vanished, self.source.looks)
        arrivals = Arrivals(source, during=self.during, clock=lambda: float(next(ticks)))
        try:
            with RunDirectory(self.path) as directory, LabelStore(directory.labels_path) as store:
                ActiveLearningLoop(
                    Accurate,
                    self.make_trainer,
                    datamodule,
                    FixedBudget(k=self.k),
                    labelers,
                    store,
                    directory,
                    max_rounds=max_rounds,
                    console=Console(file=io.StringIO()),
                    arrivals=arrivals,
                ).run()
        finally:
            self.source.looks = source.looks

    def make_trainer(self, round: int, directory: Path) -> Trainer:
        badge = BadgeCallback(
            self.strategy,
            k=self.ranks,
            when="never",
            dirpath=directory,
            round=round,
            seed=round_seed(0, round),
            write_embedding=self.during,
        )
        best = ModelCheckpoint(directory, "best", monitor="val/accuracy", mode="max")
        return make_trainer(
            directory, callbacks=[badge, best], enable_checkpointing=True, max_epochs=2
        )

    def ordering(self, round: int, edition: int | None = None) -> Any:
        return read_ordering(RunDirectory(self.path).ordering_path(round, edition))

    def store(self) -> LabelStore:
        return LabelStore(self.path / "labels.db")


def test_between_rounds_they_join_the_pool(tmp_path: Path) -> None:
    # One look before each training and after each answer.
    run = Run(tmp_path, Source({3: [40, 41, 42]}))
    run.go(max_rounds=3)
    assert not {40, 41, 42} & set(run.ordering(0))
    assert {40, 41, 42} <= set(run.ordering(1))
    assert not (tmp_path / "rounds" / "000" / "ordering-1.parquet").exists()
    with run.store() as store:
        assert store.samples.ids() == [*range(40), 40, 41, 42]
        assert [cut.last_sample for round in range(3) for cut in store.cuts(round)] == [40, 43, 43]


def test_what_arrived_after_a_cut_joins_at_the_next_moment_in_a_new_process(tmp_path: Path) -> None:
    """As after a kill between the arrival and the ordering that would have known it."""

    def begun(source: Source) -> tuple[Growing, Arrivals]:
        x, y = everything().tensors
        data = Growing(TensorDataset(x[:POOL], y[:POOL]), labels=y[:POOL], initial_labeled=3)
        arrivals = Arrivals(source, clock=itertools.count(0, 10).__next__)
        arrivals.begin(data, store, LabeledSet(data))
        return data, arrivals

    with LabelStore(tmp_path / "labels.db") as store:
        _, arrivals = begun(Source({1: [40, 41], 2: [42]}))
        arrivals.take()
        known_to_the_cut = arrivals.joined
        arrivals.take()
        data, arrivals = begun(Source({}))
        arrivals.join(known_to_the_cut)
        assert arrivals.joined == known_to_the_cut
        assert data.sample_ids.tolist() == [*range(POOL), 40, 41]
        assert arrivals.look()
        assert arrivals.take() == 1
        assert data.sample_ids.tolist() == [*range(POOL), 40, 41, 42]


def test_what_arrived_is_there_after_a_restart_and_no_sooner(tmp_path: Path) -> None:
    run = Run(tmp_path, Source({3: [40, 41, 42]}))
    with pytest.raises(Killed):
        run.go(max_rounds=4, dies_at=9)  # in round 1
    before = list(run.ordering(1))
    run.source.found_at[run.source.looks + 3] = [43]
    run.go(max_rounds=4)
    assert list(run.ordering(1)) == before
    assert 43 in run.ordering(2).sample_ids
    assert len(run.asked) == len(set(run.asked)) == 18


def test_during_a_round_published_ranks_stay_and_the_striking_ones_come_soon(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, Source({4: [40, 45, 50, 51]}), during=True, strategy="coreset", k=12)
    run.go(max_rounds=2)
    first, second = run.ordering(0, 0), run.ordering(0, 1)
    metadata = second.metadata
    published = metadata["published"]
    assert published >= 2
    assert list(second)[:published] == list(first)[:published]
    assert set(second) == set(first) | {40, 45, 50, 51}
    assert set(list(second)[published : published + 2]) == {50, 51}
    assert metadata["parent"]["file"] == "ordering.parquet"
    assert (metadata["edition"], metadata["arrived"]) == (1, 4)
    assert run.asked == list(second)[:12]
    assert {50, 51} <= set(run.asked)


@pytest.mark.parametrize(
    "strategy",
    [
        "badge",
        pytest.param("badge_labeled", marks=pytest.mark.long),
        pytest.param("entropy", marks=pytest.mark.long),
        pytest.param("maxherding", marks=pytest.mark.long),
    ],
)
def test_arrivals_in_several_batches_and_kills_ask_nothing_twice(
    tmp_path: Path, strategy: str
) -> None:
    batches = {3: [40, 41], 6: [42], 9: [50, 51], 15: [43]}
    run = Run(tmp_path, Source(batches), during=True, strategy=strategy)
    for dies_at in (2, 5, 8, 11):
        with pytest.raises(Killed):
            run.go(max_rounds=4, dies_at=dies_at)
    run.go(max_rounds=4)
    assert len(run.asked) == len(set(run.asked)) == 18
    assert {40, 41, 42, 43, 50, 51} <= {*run.ordering(3), *run.asked}
    with run.store() as store:
        assert sorted(store.samples.ids(after=40)) == [40, 41, 42, 43, 50, 51]
        assert sorted(store.labels()) == sorted(run.asked)


def test_ranks_that_were_not_asked_for_stay_unranked(tmp_path: Path) -> None:
    run = Run(tmp_path, Source({4: [40, 41]}), during=True, ranks=20)
    run.go(max_rounds=2)
    assert len(run.ordering(0, 0)) == 20
    assert set(run.ordering(0, 1)) == {*run.ordering(0, 0), 40, 41}


def test_what_arrives_in_a_cold_or_unsupported_round_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, Source({4: [40], 6: [41]}), during=True)
    (tmp_path / "rounds" / "000").mkdir(parents=True)
    original = run.make_trainer

    def without_embedding(round: int, directory: Path) -> Trainer:
        trainer = original(round, directory)
        for callback in trainer.callbacks:
            if isinstance(callback, BadgeCallback):
                callback.write_embedding = False
        return trainer

    run.make_trainer = without_embedding  # type: ignore[method-assign]
    (tmp_path / "run.lock").touch()
    with caplog.at_level(logging.WARNING):
        run.go(max_rounds=2)
    assert len([r for r in caplog.records if "wait for the next round" in r.message]) == 1
    assert {40, 41} <= set(run.ordering(1))


def test_samples_that_vanish_are_not_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, Source({3: [40, 41, 50]}))
    with pytest.raises(Killed):
        run.go(max_rounds=3, dies_at=7)
    run.source.vanished = {50, 41}
    with caplog.at_level(logging.WARNING):
        run.go(max_rounds=3)
    assert "2 samples of the ordering vanished" in caplog.text
    assert not {50, 41} & set(run.asked)
    assert 40 in {*run.ordering(2), *run.asked}


def test_data_that_refuse_a_sample_go_on_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, Source({2: [-1], 4: [40]}))
    with caplog.at_level(logging.WARNING):
        run.go(max_rounds=3)
    assert "left out: no such sample" in caplog.text
    assert 40 in run.ordering(2).sample_ids


def test_arrivals_that_look_different_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, Source({4: [50], 6: [51]}), during=True, strategy="coreset")
    with caplog.at_level(logging.WARNING):
        run.go(max_rounds=2)
    told = [r.message for r in caplog.records if "look different" in r.message]
    assert len(told) <= 1


def test_classes_are_as_many_as_the_data_have() -> None:
    assert len(set(everything().tensors[1].tolist())) == CLASSES

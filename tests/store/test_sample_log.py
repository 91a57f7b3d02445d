"""The log of samples, and what cuts and other processes know of it."""

from pathlib import Path

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_log import read_samples


def test_samples_keep_the_order_in_which_they_came(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        log = store.samples
        assert (log.last(), log.ids(), log.began_with()) == (0, [], [])
        log.begin(["b", "a"])
        log.begin(["c"])  # of a later start
        assert log.ids() == log.began_with() == ["b", "a"]
        log.arrive(["d", "a", "c"])
        log.arrive(["d"])
        assert log.ids() == ["b", "a", "d", "c"]
        assert log.ids(after=2, up_to=3) == ["d"]
        assert log.began_with() == ["b", "a"]
        assert [log.arrived_after(n) for n in range(5)] == [2, 2, 2, 1, 0]
    assert read_samples(tmp_path / "labels.db") == (["b", "a"], ["d", "c"])


def test_a_cut_knows_the_samples_of_its_time() -> None:
    with LabelStore(":memory:") as store:
        assert store.cut(0).last_sample == 0
        store.samples.begin([7, 3])
        store.samples.arrive([5])
        cut = store.cut(0)
        assert (cut.attempt, cut.last_sample) == (1, 3)
        store.samples.arrive([6, 8])
        assert store.arrivals(cut) == 2
        assert store.arrivals(store.cuts(0)[0]) == 3


def test_a_run_without_arrivals_has_no_samples(tmp_path: Path) -> None:
    assert read_samples(tmp_path / "none.db") == ([], [])
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(1, 0)], annotator="ann")
    assert read_samples(tmp_path / "labels.db") == ([], [])
    (tmp_path / "other.db").write_text("no database")
    with pytest.raises(LabelError):
        read_samples(tmp_path / "other.db")

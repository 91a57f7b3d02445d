import sqlite3
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_log import read_run_log

RUN_V1 = Path(__file__).parent.parent / "data" / "run_v1"


def test_everything_in_a_store_is_read_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    with LabelStore(path) as store:
        before = datetime.now(timezone.utc)
        store.cut(0)
        store.record(0, [("a", 1), ("b", SKIP)], annotator="ann")
        store.finish_round(0, query_size=1, labeled=10)
        store.cut(1)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("INSERT INTO leases VALUES ('c', 'tab 1', ?)", (time.time() + 60,))
        log = read_run_log(path)
        assert log.answers == store.answers()
        assert log.in_force == store.in_force()
        assert log.rounds == store.rounds()
        assert [(cut.round, cut.attempt, cut.last_answer_id) for cut in log.cuts] == [
            *((0, 0, 0), (1, 0, 2))
        ]
    # The store keeps milliseconds.
    ages = [(cut.made_at - before).total_seconds() for cut in log.cuts if cut.made_at]
    assert len(ages) == 2
    assert all(-0.001 <= age < 60 for age in ages)
    (lease,) = log.leases
    assert (lease.sample_id, lease.session) == ("c", "tab 1")
    assert lease.expires_at > before


def test_a_store_of_an_earlier_version_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes((RUN_V1 / "labels.db").read_bytes())
    log = read_run_log(path)
    assert len(log.answers) == len(log.in_force) == 13
    assert [cut.round for cut in log.cuts] == [0, 1]
    assert [cut.made_at for cut in log.cuts] == [None, None]  # the migration's time says nothing
    assert path.read_bytes() == (RUN_V1 / "labels.db").read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_another_kind_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(LabelError, match=f"^{path}: expected a label store"):
        read_run_log(path)

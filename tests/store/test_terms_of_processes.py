"""Processes that lease and answer are killed while others change the limit: none is overspent."""

import random
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.ordering import Ordering
from lightning_badge.store.budget_changes import BUDGET, commit_budget
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.spending import Spending
from lightning_badge.store.terms import Money, Terms, commit_terms

POOL = 400
LABELER = """
import sys
import numpy as np
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

path, name, pool, most = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
with LabelStore(path, timeout_s=60) as store:
    query = Query(store, store.cuts(0)[-1], Ordering(np.arange(pool)))
    offers = query.lease(name, 2, annotator=name)
    print("ready", flush=True)
    for _ in range(most):
        given = [NewAnswer(offer.sample_id, 1, name, 0, offer.rank) for offer in offers[:1]]
        offers = query.answer(name, given, 2, annotator=name).offers
        if given:
            print(given[0].sample_id, flush=True)
    sys.stdin.read()
"""


def change_limit(store: LabelStore, before: int, now: int) -> None:
    with store.leases.transaction():
        commit_budget(store.changes, {"limit": before}, {"limit": now}, who="ann", how="command")
        commit_terms(store.changes, Terms(Money(Decimal(now), price=Decimal(1))))


@pytest.mark.slow
def test_killed_labelers_and_changing_limits_overspend_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    draw = random.Random(5)
    limits = [0, 30, 45, 20, 60]
    with LabelStore(path, timeout_s=60) as store:
        query = Query(store, store.cut(0), Ordering(np.arange(POOL)))
        query.allow(None)
        command = [sys.executable, "-c", LABELER, str(path)]
        for before, now in pairwise(limits):
            change_limit(store, before, now)
            with LabelStore(path) as reader:
                spending = Spending(reader)
                spending.refresh()
                # Each labeler holds two samples, which the other one does not get.
                most = max(0, (int(spending.remaining) - 4) // 2)
            running = [
                subprocess.Popen(
                    [*command, f"{name}{now}", str(POOL), str(most)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for name in ("ann", "bob")
            ]
            for process in running:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                # Some answers of each, then a kill at any instant.
                for _ in range(draw.randrange(most + 1)):
                    process.stdout.readline()
            for process in running:
                process.kill()
                process.communicate()
            # A lease of a killed labeler is paid until it ends.
            for name in ("ann", "bob"):
                query.release(f"{name}{now}")
            spending = Spending(store)
            spending.refresh()
            assert spending.total <= max(now, 45)
        answers = store.answers()
        assert len({answer.sample_id for answer in answers}) == len(answers)
        assert [answer.cost for answer in answers] == [1.0] * len(answers)
        assert [change.facts["changes"][0]["to"] for change in store.changes.of(BUDGET)] == [
            *limits[1:]
        ]
        while offers := query.lease("eve", 3):  # who comes later spends the rest to the cent
            store.record(0, [(offer.sample_id, 1) for offer in offers], annotator="eve")
        assert len(store.answers()) == 60

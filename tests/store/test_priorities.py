"""Rules change the order of what is not leased yet, and nothing else."""

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import UNDO
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import as_sample_ids
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.columns import read_column, write_column
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.priorities import (
    Described,
    Rule,
    commit_rules,
    excluded,
    glob,
    in_order,
    rule_of,
    rules_in_force,
)

CLASSES = ("cat", "dog", "bird")
IDS = [f"camera_{n % 3}/{n // 6}/{n:02d}.png" for n in range(30)]
GUESS = {sample_id: CLASSES[n * n % 5 % 3] for n, sample_id in enumerate(IDS)}
LIGHT = {sample_id: ("day", "night")[n % 2] for n, sample_id in enumerate(IDS) if n % 5}
DESCRIBED = Described(GUESS.get, {"light": LIGHT})
PATTERNS = st.sampled_from(["camera_1/**", "camera_?/2/*", "**/0?.png", "none", "**"])
RULES = st.lists(
    st.one_of(
        st.builds(
            Rule,
            st.sampled_from(["first", "exclude"]),
            st.lists(PATTERNS, min_size=1, max_size=2).map(tuple),
        ),
        st.builds(
            Rule,
            st.sampled_from(["first", "exclude"]),
            st.sampled_from([("night",), ("d*",)]),
            st.just("column:light"),
        ),
        st.builds(Rule, st.just("first"), st.sampled_from([("cat",), ("*d*",)]), st.just("guess")),
        st.builds(
            lambda quota: Rule("quota", quota=quota),
            st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 9), min_size=1),
        ),
    ),
    max_size=5,
)
POOLS = st.lists(st.sampled_from(IDS), unique=True)


def place_of(ordered: list[Any]) -> dict[Any, int]:
    return {sample_id: place for place, sample_id in enumerate(ordered)}


@given(POOLS, RULES)
def test_rules_lose_and_invent_no_sample(pool: list[str], rules: list[Rule]) -> None:
    assert sorted(in_order(pool, rules, DESCRIBED)) == sorted(pool)
    assert excluded(pool, rules, DESCRIBED) <= set(pool)


@given(POOLS, RULES, PATTERNS)
def test_the_latest_rule_is_the_strongest_and_keeps_the_order_within(
    pool: list[str], rules: list[Rule], pattern: str
) -> None:
    before = in_order(pool, rules, DESCRIBED)
    after = in_order(pool, [*rules, Rule("first", (pattern,))], DESCRIBED)
    named = [sample_id for sample_id in before if glob(pattern).fullmatch(sample_id)]
    assert after == named + [sample_id for sample_id in before if sample_id not in named]


@given(POOLS, RULES, st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 9), min_size=1))
def test_a_quota_brings_the_first_of_each_class_forward(
    pool: list[str], rules: list[Rule], quota: dict[str, int]
) -> None:
    before = in_order(pool, rules, DESCRIBED)
    after = in_order(pool, [*rules, Rule("quota", quota=quota)], DESCRIBED)
    there = Counter(map(GUESS.__getitem__, pool))
    expected = Counter({name: min(number, there[name]) for name, number in quota.items()})
    first = after[: expected.total()]
    assert Counter(map(GUESS.__getitem__, first)) == +expected
    assert first == sorted(first, key=before.index)
    for name in quota:
        assert [key for key in after if GUESS[key] == name] == [
            key for key in before if GUESS[key] == name
        ]


@given(POOLS, RULES)
def test_rules_are_idempotent(pool: list[str], rules: list[Rule]) -> None:
    for rule in rules:
        once = in_order(pool, [rule], DESCRIBED)
        assert in_order(once, [rule], DESCRIBED) == once


@given(st.text("ab/.*?[", max_size=6), st.text("ab*?[", max_size=5))
def test_a_glob_without_slashes_is_that_of_a_shell(value: str, pattern: str) -> None:
    plain = "**" in pattern or "/" in value
    if not plain:
        assert bool(glob(pattern).fullmatch(value)) == fnmatchcase(
            value, pattern.replace("[", "[[]")
        )


def test_patterns_match_ids_columns_and_guesses() -> None:
    def first(*patterns: str, by: str = "id") -> list[str]:
        named = Rule("exclude", patterns, by)
        return sorted(excluded(IDS, [named], DESCRIBED))

    assert first("camera_1/**") == sorted(key for key in IDS if key.startswith("camera_1/"))
    assert first("camera_1/*") == []
    assert first("day", "night", by="column:light") == sorted(LIGHT)
    assert first("cat", by="guess") == sorted(key for key in IDS if GUESS[key] == "cat")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("last", ("a",)), "expected one of first, exclude, quota, got 'last'"),
        (("first",), r"expected a pattern such as camera_7/\*\*, got \[\]"),
        (("quota",), "expected CLASS=NUMBER"),
        (("first", ("a",), "id", {"cat": 3}), "expected a pattern"),
        (("quota", (), "id", {"cat": 0}), "quota cat: expected a positive integer, got 0"),
    ],
)
def test_a_rule_that_says_nothing_is_an_error(arguments: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        Rule(*arguments)


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        yield store


def publish(store: LabelStore, ids: Any, guesses: Any = None, **arguments: Any) -> Query:
    ordering = Ordering(
        as_sample_ids(ids),
        hallucinated_label=None if guesses is None else np.array(guesses, np.int64),
    )
    query = Query(
        store, store.cut(0), ordering, classes=ClassList(store, ["cat", "dog"]), **arguments
    )
    query.allow(None)
    return query


def decide(store: LabelStore, *rules: Rule) -> None:
    with store.leases.transaction():
        commit_rules(store.changes, rules, who="ann", change="; ".join(map(str, rules)))


def ids(offers: Any) -> list[Any]:
    return [offer.sample_id for offer in offers]


def test_rules_are_read_as_they_were_written(store: LabelStore) -> None:
    rules = [
        Rule("first", ("a/**", "b"), "column:light"),
        Rule("exclude", ("c",), "guess"),
        Rule("quota", quota={"cat": 3}),
    ]
    assert rules_in_force(store.changes) == []
    decide(store, *rules)
    assert rules_in_force(store.changes) == rules
    assert [rule_of(rule.as_facts()) for rule in rules] == rules


def test_rules_concern_what_is_not_leased_yet(store: LabelStore) -> None:
    query = publish(store, range(10))
    assert ids(query.lease("a", 3)) == [0, 1, 2]
    decide(store, Rule("first", ("7", "8")), Rule("exclude", ("1", "3")))
    assert ids(query.lease("a", 3)) == [0, 1, 2]
    assert ids(query.lease("b", 4)) == [7, 8, 4, 5]
    store.record(0, [(0, 1), (1, 1)], annotator="a")
    query.release("a")
    assert ids(query.peek(9)) == [7, 8, 2, 4, 5, 6, 9]
    decide(store)
    assert ids(query.peek(9)) == [*range(2, 10)]


def test_ranks_stay_those_of_the_ordering(store: LabelStore) -> None:
    query = publish(store, range(10))
    decide(store, Rule("first", ("7",)))
    (offer,) = query.lease("a", 1)
    assert (offer.sample_id, offer.rank) == (7, 7)


def test_guesses_and_columns(store: LabelStore) -> None:
    query = publish(store, range(6), [0, 0, 0, 1, 1, 1])
    decide(store, Rule("quota", quota={"dog": 2}))
    assert ids(query.peek(9)) == [3, 4, 0, 1, 2, 5]
    with store.leases.transaction():
        write_column(store.changes, "light", {"5": "night", "1": "night"})
    decide(store, Rule("quota", quota={"dog": 1}), Rule("first", ("night",), "column:light"))
    assert ids(query.peek(9)) == [1, 5, 3, 0, 2, 4]
    assert read_column(store.changes, "light") == {"5": "night", "1": "night"}


def test_without_samples_that_may_be_handed_out_the_query_is_exhausted(store: LabelStore) -> None:
    query = publish(store, range(4))
    decide(store, Rule("exclude", ("[12]", "1", "2")))
    store.record(0, [(0, 1)], annotator="a")
    assert not query.progress().is_exhausted
    store.record(0, [(3, 1)], annotator="a")
    assert query.progress().is_exhausted
    assert not query.has_open()
    decide(store)
    assert not query.progress().is_exhausted
    store.record(0, [(1, 1), (2, 1)], annotator="a")
    assert query.progress().is_exhausted


def test_excluded_samples_for_validation_and_ties_are_not_asked_either(store: LabelStore) -> None:
    store.set_consensus("unanimous")
    query = publish(store, range(6), validation=[20, 21], overlap=2)
    store.record(0, [(2, 0)], annotator="a")
    store.record(0, [(2, 1)], annotator="b")
    assert ids(query.peek(3)) == [2, 0, 1]
    decide(store, Rule("exclude", ("2", "20")), Rule("first", ("5",)))
    assert ids(query.peek(9)) == [5, 0, 1, 21, 3, 4]


def test_an_undone_sample_comes_back_wherever_the_rules_put_it(store: LabelStore) -> None:
    query = publish(store, range(6))
    store.record(0, [(1, 0)], annotator="a")
    decide(store, Rule("first", ("5",)))
    assert ids(query.peek(9)) == [5, 0, 2, 3, 4]
    store.record(0, [(1, UNDO)], annotator="a")
    assert ids(query.peek(9)) == [5, 0, 1, 2, 3, 4]


def test_another_process_sees_rules_at_once(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as ours, LabelStore(tmp_path / "labels.db") as theirs:
        query = publish(ours, range(4))
        assert ids(query.lease("a", 1)) == [0]
        decide(theirs, Rule("first", ("3",)))
        assert ids(query.lease("b", 1)) == [3]

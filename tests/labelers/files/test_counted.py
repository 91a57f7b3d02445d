"""Rows of answer files count once, whatever happens to the files."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_badge.labelers.files.counted import CountedRows
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore

File = list[tuple[Any, Any]]


def read(store: LabelStore, **files: File) -> int:
    """Reads files as a new process does, oldest first; returns the number of new answers."""
    counted = CountedRows(store)
    new: list[NewAnswer] = []
    for name, rows in files.items():
        new += counted.new(name, [NewAnswer(key, label, "ann", 0) for key, label in rows])
    assert store.add(new) == len(new)
    return len(new)


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        yield store


def test_a_file_that_is_read_again_adds_nothing(store: LabelStore) -> None:
    file = [(1, "cat"), (2, "dog"), (3, SKIP)]
    assert read(store, a=file) == 3
    assert read(store, a=file) == 0


def test_a_file_that_is_saved_again_adds_its_new_rows_in_any_order(store: LabelStore) -> None:
    read(store, a=[(1, "cat"), (2, "dog")])
    assert read(store, a=[(2, "dog"), (3, "cat"), (1, "cat")]) == 1
    assert store.labels() == {1: "cat", 2: "dog", 3: "cat"}


def test_a_row_that_is_changed_and_changed_back_counts_each_time(store: LabelStore) -> None:
    for label in ("cat", "dog", "cat", SKIP, "cat"):
        assert read(store, a=[(1, label), (2, "dog")]) >= 1
        assert store.in_force()[1].label == label
    assert len(store.answers()) == 6


def test_several_rows_about_a_sample_count_in_their_order(store: LabelStore) -> None:
    file: File = [(1, "cat"), (1, "dog")]
    read(store, a=file)
    assert store.labels() == {1: "dog"}
    file += [(1, "cat"), (2, "cat"), (2, UNDO)]
    assert read(store, a=file) == 3
    assert store.labels() == {1: "cat"}
    assert read(store, a=file) == 0


def test_a_copy_or_another_name_of_a_file_counts_nothing_again(store: LabelStore) -> None:
    first: File = [(1, "cat"), (2, "dog")]
    read(store, first=first)
    read(store, first=first, correction=[(1, "dog")])
    assert read(store, correction=[(1, "dog")], renamed=first) == 0
    assert read(store, correction=[(1, "dog")], renamed=first, copy=first) == 0
    assert store.labels() == {1: "dog", 2: "dog"}
    # Saved under another name with more rows, then changed there.
    assert read(store, more=[*first, (3, "cat")]) == 1
    assert read(store, more=[(1, "owl"), (2, "dog"), (3, "cat")]) == 1
    assert store.labels() == {1: "owl", 2: "dog", 3: "cat"}


def test_a_copy_that_stays_as_it_is_does_not_undo_what_changes_in_the_other(
    store: LabelStore,
) -> None:
    first: File = [(1, "cat"), (2, "dog")]
    assert read(store, answers=first, backup=first) == 2
    changed: File = [(1, "owl"), (2, "dog"), (3, "cat")]
    for expected in (2, 0, 0):
        assert read(store, answers=changed, backup=first) == expected
    assert read(store, backup=first, answers=changed) == 0
    assert store.labels() == {1: "owl", 2: "dog", 3: "cat"}


def test_a_later_file_may_say_what_an_earlier_one_said(store: LabelStore) -> None:
    read(store, monday=[(1, "cat"), (2, "dog")])
    read(store, tuesday=[(1, "dog")])
    assert read(store, wednesday=[(1, "cat")]) == 1
    assert store.labels() == {1: "cat", 2: "dog"}


def test_another_file_under_the_same_name_adds_its_rows(store: LabelStore) -> None:
    read(store, answers=[(1, "cat"), (2, "dog")])
    assert read(store, answers=[(3, "cat"), (2, "cat")]) == 2
    assert store.labels() == {1: "cat", 2: "cat", 3: "cat"}


def test_an_empty_file_continues_none(store: LabelStore) -> None:
    assert read(store, empty=[]) == 0
    assert read(store, empty=[(1, "cat")]) == 1


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["cat", "dog", SKIP])),
    max_size=4,
    unique_by=lambda row: row[0],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), ROWS), min_size=1, max_size=5))
def test_files_that_do_not_change_add_nothing(versions: list[dict[str, File]]) -> None:
    with LabelStore(":memory:") as store:
        files: dict[str, File] = {}
        for version in versions:
            files |= version
            read(store, **files)
            assert read(store, **files) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_what_a_file_says_is_in_force_whatever_it_said_before(versions: list[File]) -> None:
    with LabelStore(":memory:") as store:
        said: dict[Any, Any] = {}
        for version in versions:
            new = dict(version).items() - said.items()
            assert read(store, a=version) == len(new)
            assert read(store, a=version[::-1]) == 0
            said |= dict(version)
            assert {key: answer.label for key, answer in store.in_force().items()} == said

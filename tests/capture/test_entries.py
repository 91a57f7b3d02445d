from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from lightning_badge.capture.entries import entry_of, model_input, named_entries
from lightning_badge.exceptions import CaptureError

Triple = namedtuple("Triple", ["x", "y", "path"])


@dataclass
class Batch:
    x: list[float]
    path: list[str]


X, Y, PATHS = [0.1, 0.7], [0, 1], ["a", "b"]


@pytest.mark.parametrize(
    ("batch", "key"),
    [
        ((X, Y, PATHS), 2),
        ([X, Y, PATHS], -1),
        ({"x": X, "path": PATHS}, "path"),
        (Batch(X, PATHS), "path"),
        (Triple(X, Y, PATHS), "path"),
        (Triple(X, Y, PATHS), 2),
    ],
)
def test_an_entry_is_found_by_key_field_or_position(batch: Any, key: Any) -> None:
    assert entry_of(batch, key) == PATHS


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        ({"x": X, "y": Y}, "id", r"'id'.*a dict, a dataclass or a named tuple.*dict of 'x', 'y'"),
        ((X, Y), "id", r"'id'.*with this entry, got a tuple of length 2"),
        ((X, Y), 2, r"=2: expected each batch to be a tuple or list.*got a tuple of length 2"),
        ({"x": X}, 0, "tuple or list with an entry at this position, got a dict of 'x'"),
        (Batch(X, PATHS), "id", "got a Batch of 'x', 'path'"),
        (3.5, "id", "got float"),
    ],
)
def test_a_missing_entry_lists_those_that_are_there(batch: Any, key: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        entry_of(batch, key)


@pytest.mark.parametrize(
    ("batch", "key"),
    [
        ((X, Y), None),
        ((PATHS, X, Y), 0),
        ([PATHS, X], -2),
        (Triple(X, Y, PATHS), "path"),
        (namedtuple("IdsFirst", ["path", "x"])(PATHS, X), "path"),
    ],
)
def test_the_input_is_the_first_entry_without_the_ids(batch: Any, key: Any) -> None:
    assert model_input(batch, key) == X


def test_dicts_and_dataclasses_have_named_entries_and_other_batches_none() -> None:
    assert named_entries(Batch(X, PATHS)) == {"x": X, "path": PATHS}
    assert named_entries(Triple(X, Y, PATHS))["y"] == Y
    assert named_entries([X]) is named_entries(Batch) is named_entries(X[0]) is None

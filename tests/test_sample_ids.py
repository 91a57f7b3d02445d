import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError, OrderingError
from lightning_badge.sample_ids import as_sample_ids, fingerprint, name_ids


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True) | st.lists(st.text("ab1"), unique=True)
)
def test_ids_come_back_as_they_were_given(ids: list) -> None:
    assert as_sample_ids(ids).tolist() == ids


@pytest.mark.parametrize("ids", [torch.tensor([3, 1]), np.array([3, 1]), (3, 1), range(3, 0, -2)])
def test_any_iterable_of_ids_will_do(ids: object) -> None:
    assert as_sample_ids(ids).tolist() == [3, 1]


def test_no_ids_are_no_ids() -> None:
    assert as_sample_ids([]).dtype == np.int64


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, "a"], "all int or all str, got int, str"),
        ([1.5], "got float"),
        ([True], "got bool"),
        ([[1]], "flat sequence"),
        (5, "flat sequence"),
        ("abc", "flat sequence"),
        ([2, 1, 2], "2 came more than once"),
        ([2**63], "below 2"),
        (["a\0"], "trailing NUL"),
    ],
)
def test_bad_ids_get_one_clear_line(ids: object, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        as_sample_ids(ids)


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(OrderingError):
        as_sample_ids([1, 1], error=OrderingError)
    assert as_sample_ids([1, 1], unique=False).tolist() == [1, 1]


def test_a_fingerprint_tells_sets_apart_whatever_their_order() -> None:
    assert fingerprint(np.array([1, 2])) == fingerprint(np.array([2, 1]))
    assert fingerprint(np.array([1, 2])) != fingerprint(np.array([1, 3]))
    assert fingerprint(np.array([1])) != fingerprint(np.array(["1"]))


def test_long_lists_are_named_in_part() -> None:
    assert name_ids(["a", "b"]) == "'a', 'b'"
    assert name_ids(range(7), at_most=2) == "0, 1 and 5 more"

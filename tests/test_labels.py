import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from lightning_badge.exceptions import BudgetError, LabelError
from lightning_badge.labels import SKIP, Skip, as_class_names, as_label, as_plain


def test_skip_stays_one_object_after_copies_and_pickles() -> None:
    assert pickle.loads(pickle.dumps(SKIP)) is SKIP
    assert copy.copy(SKIP) is SKIP
    assert copy.deepcopy([SKIP])[0] is SKIP
    assert repr(SKIP) == "SKIP"
    assert isinstance(SKIP, Skip)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (3, 3),
        ("katt", "katt"),
        (True, True),
        (0.5, 0.5),
        ([], []),
        ((1, 0), [1, 0]),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("b"), "b"),
        (np.array([[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
        (torch.tensor(4), 4),
        (torch.tensor([0.5, 1.0]), [0.5, 1.0]),
        ([torch.tensor(1), np.float32(0.5)], [1, 0.5]),
    ],
)
def test_labels_become_plain_values(value: Any, label: Any) -> None:
    plain = as_label(value)
    assert plain == label
    assert type(plain) is type(label)


@pytest.mark.parametrize(
    "value",
    [None, SKIP, {"a": 1}, b"x", float("nan"), np.inf, [None], object(), np.array([np.nan])],
)
def test_an_error_names_an_invalid_label(value: Any) -> None:
    with pytest.raises(LabelError, match=r"label: expected an int, a finite float"):
        as_label(value)


def test_values_become_strict_json() -> None:
    values = {"loss": torch.tensor(float("inf")), 3: [np.float32(0.5), None, (True, "x")]}
    assert as_plain(values, error=LabelError) == {"loss": None, "3": [0.5, None, [True, "x"]]}


def test_values_that_are_not_plain_raise_the_given_error() -> None:
    with pytest.raises(BudgetError, match=r"got b'x' \(bytes\)"):
        as_plain({"a": [b"x"]}, error=BudgetError)


def test_class_names_have_no_blanks_at_their_ends() -> None:
    assert as_class_names([" cat", "guinea pig\t", 3]) == ("cat", "guinea pig", 3)
    for names in (["cat", "cat "], [" ", "dog"]):
        with pytest.raises(LabelError, match="differ in more than blanks"):
            as_class_names(names)

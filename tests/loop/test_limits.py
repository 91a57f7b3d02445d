import math

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.loop.limits import Limits, check_data

BEGUN = {"rounds": 1, "labeled": 20, "value": 0.5}


def test_without_limits_a_run_continues() -> None:
    assert Limits().reached(rounds=10**6, labeled=10**9, value=1.0) is None
    assert Limits().remaining_labels(labeled=20, pool=80) == 80


@pytest.mark.parametrize(
    ("limits", "now"),
    [
        (Limits(max_rounds=3), {"rounds": 3}),
        (Limits(max_rounds=3), {"rounds": 5}),
        (Limits(total_labels=100), {"labeled": 100}),
        (Limits(target_metric=0.9), {"value": 0.9}),
    ],
)
def test_a_limit_that_is_reached_is_named(limits: Limits, now: dict[str, float]) -> None:
    assert limits.reached(**BEGUN) is None
    name, value = next((k, v) for k, v in vars(limits).items() if v is not None)
    assert limits.reached(**{**BEGUN, **now}) == f"{name}={value} is reached"


def test_a_nan_metric_does_not_reach_a_target() -> None:
    assert Limits(target_metric=0.1).reached(rounds=1, labeled=1, value=math.nan) is None


def test_remaining_labels_are_limited_by_total_labels_and_by_the_pool() -> None:
    assert Limits(total_labels=100).remaining_labels(labeled=70, pool=80) == 30
    assert Limits(total_labels=100).remaining_labels(labeled=70, pool=8) == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_rounds", 0), ("max_rounds", 2.5), ("total_labels", True), ("target_metric", "high")],
)
def test_an_invalid_limit_is_an_error(name: str, value: object) -> None:
    with pytest.raises(MisconfigurationException, match=f"{name}: expected a positive .*{value!r}"):
        Limits(**{name: value})


def test_a_run_whose_samples_have_no_entry_for_a_label_does_not_begin() -> None:
    data = [{"x": [0.0], "topic": -1}] * 4
    with pytest.warns(UserWarning, match="target_key=1"):
        datamodule = ActiveLearningDataModule(data, initial_labeled=[])
    with pytest.raises(LabelError, match="target_key=1: .* a dict with the keys 'x', 'topic'"):
        check_data(Limits(), datamodule)
    check_data(Limits(), ActiveLearningDataModule(data, initial_labeled=[], target_key="topic"))

"""Arguments of a strategy's own, through the callback."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from tiny import LIGHTNING_WARNINGS, loader, validate

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS


def test_they_reach_the_strategy_and_the_file(tmp_path: Path) -> None:
    arguments = {"depth": 4, "configurations": 50}
    callback = BadgeCallback("batchbald", pool=loader(20), strategy_args=arguments)
    validate(tmp_path, callback)
    assert callback.ordering is not None
    assert np.isfinite(callback.ordering.gains).sum() == 4
    assert callback.last_ordering_path is not None
    assert read_ordering(callback.last_ordering_path).metadata["strategy_args"] == arguments


@pytest.mark.parametrize("strategy", ["badge", "kmeans_pp_penultimate", "coreset"])
def test_first_center_is_short_for_one_of_them(tmp_path: Path, strategy: str) -> None:
    short = BadgeCallback(strategy, pool=loader(20), first_center="max_norm")
    arguments = {"first_center": "max_norm"}
    long = BadgeCallback(strategy, pool=loader(20), strategy_args=arguments)
    assert short.strategy_args == long.strategy_args == arguments
    validate(tmp_path, short)
    assert short.ordering is not None
    assert short.ordering.metadata["strategy_args"] == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"strategy": "entropy", "first_center": "max_norm"},
            "BadgeCallback: strategy 'entropy' takes no arguments of its own; got first_center",
        ),
        (
            {"first_center": "uniform", "strategy_args": {"first_center": "uniform"}},
            "first_center: given twice, also in strategy_args; give it once",
        ),
        ({"strategy_args": ["first_center"]}, "strategy_args: expected a dict, got list"),
    ],
)
def test_wrong_ones_are_refused_when_it_is_built(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        BadgeCallback(**arguments)


def test_checkpoints_tell_callbacks_apart_by_them() -> None:
    def key(**arguments: Any) -> str:
        return BadgeCallback("batchbald", strategy_args=arguments).state_key

    assert key(depth=3) != key(depth=4)
    assert key(depth=3, configurations=7) == key(configurations=7, depth=3)


def test_the_callers_dict_is_copied() -> None:
    arguments = {"first_center": "uniform"}
    callback = BadgeCallback(strategy_args=arguments)
    arguments["first_center"] = "max_norm"
    assert callback.strategy_args == {"first_center": "uniform"}

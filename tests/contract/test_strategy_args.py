"""A strategy's own arguments are the same in ``order``, ``LazyOrdering``, callback and Hydra."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from pools import context_of, make_pool

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import STRATEGIES, LazyOrdering, order

CONFIGS = Path(__file__).parent.parent.parent / "configs"
NOT_ARGUMENTS = {"name", "posterior_samples"}

Place = Callable[..., Any]


def in_order(strategy: str, **arguments: Any) -> Any:
    pool = make_pool(4)
    return order(pool, strategy, **context_of(strategy, pool), **arguments)


def in_a_lazy_ordering(strategy: str, **arguments: Any) -> Any:
    pool = make_pool(4)
    return LazyOrdering(pool, strategy, **context_of(strategy, pool), **arguments).take()


def in_the_callback(strategy: str, **arguments: Any) -> Any:
    return BadgeCallback(strategy, strategy_args=arguments)


def on_the_command_line(strategy: str, **arguments: Any) -> Any:
    overrides = [f"++strategy.{name}={value}" for name, value in arguments.items()]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("al_loop", [f"strategy={strategy}", *overrides])
    config.round = {"number": 0, "seed": 0, "directory": "."}
    try:
        return instantiate(config.callbacks.badge)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


PLACES = (in_order, in_a_lazy_ordering, in_the_callback, on_the_command_line)
ERRORS = (BadgeError, MisconfigurationException)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_an_unknown_argument_is_an_error_that_lists_the_known_ones(
    place: Place, strategy: str
) -> None:
    takes = ", ".join(sorted(STRATEGIES[strategy].arguments)) or "no arguments of its own"
    with pytest.raises(ERRORS, match=f"strategy {strategy!r} takes {takes}; got nonsense"):
        place(strategy, nonsense=3)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("strategy", "arguments", "message"),
    [
        ("entropy", {"first_center": "max_norm"}, "'entropy' takes no .*; got first_center"),
        ("badge", {"first_center": "last"}, "uniform, max_norm, origin, got 'last'"),
        ("badge", {"trials": 0}, "trials: expected an integer of 1 or more, got 0"),
        ("maxherding", {"sigma": "far"}, "sigma: expected .* neighbour, labeled, got 'far'"),
        ("uherding", {"uncertainty": "bald"}, "margin, entropy, least_confidence, got 'bald'"),
        ("uherding", {"summands": 0}, "summands: expected .* above 0, or None for all, got 0"),
        ("coreset", {"first_center": "last"}, "uniform, max_norm, origin, got 'last'"),
        ("probcover", {"delta": 0}, "delta: expected a positive number or purity, got 0"),
        ("typiclust", {"clusters": 0}, "clusters: expected a number above 0, or None .*, got 0"),
        ("batchbald", {"depth": -1}, "depth: expected an integer of 0 or more, got -1"),
        ("batchbald", {"configurations": 1.5}, "configurations: expected an integer .* 1.5"),
    ],
)
def test_an_invalid_value_is_an_error_at_construction(
    place: Place, strategy: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ERRORS, match=message):
        place(strategy, **arguments)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("strategy", "arguments"),
    [
        ("badge", {"first_center": "origin", "trials": 8}),
        ("badge_labeled", {"first_center": "origin", "trials": 2}),
        ("maxherding", {"sigma": 0.5, "normalise": False, "summands": 3}),
        ("probcover", {"delta": 0.5}),
        ("typiclust", {"clusters": 3}),
        ("batchbald", {"depth": 2, "configurations": 7}),
    ],
)
def test_arguments_reach_the_strategy(
    place: Place, strategy: str, arguments: dict[str, Any]
) -> None:
    made = place(strategy, **arguments)
    is_callback = isinstance(made, BadgeCallback)
    assert (made.strategy_args if is_callback else made.metadata["strategy_args"]) == arguments


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_config_lists_all_arguments_with_their_defaults(strategy: str) -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"strategy/{strategy}.yaml"))
    parameters = inspect.signature(STRATEGIES[strategy].rule).parameters
    assert {name: value for name, value in config.items() if name not in NOT_ARGUMENTS} == {
        name: parameters[name].default for name in STRATEGIES[strategy].arguments
    }

"""The registry of strategies: their names and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering.selector import Selector


class Registered(NamedTuple):
    """A strategy in the registry.

    A strategy is a function ``(embedding, *, seed, backend, **own_arguments) -> Selector``. If it
    uses more than the pool's embedding, it also has a parameter ``labeled`` or ``posterior``. That
    parameter is required if it has no default.

    Attributes:
        rule: The function.
        uses: Which of ``labeled`` and ``posterior`` it accepts.
        needs: Which of them it requires.
        arguments: Names of the strategy's own arguments.
        measures_coverage: Whether its orderings have a coverage.
        sharded: Whether several processes can hold the pool together.
    """

    rule: Callable[..., Selector]
    uses: frozenset[str]
    needs: frozenset[str]
    arguments: frozenset[str]
    measures_coverage: bool
    sharded: bool


STRATEGIES: dict[str, Registered] = {}

_CONTEXT = frozenset({"labeled", "posterior"})
_COMMON = frozenset({"embedding", "seed", "backend"})


def strategy(
    name: str, *, measures_coverage: bool = False, sharded: bool = False
) -> Callable[[Callable[..., Selector]], Callable[..., Selector]]:
    """Registers a function as the strategy ``name``.

    Args:
        name: The name for ``strategy=`` and the configs.
        measures_coverage: Whether its orderings have a coverage.
        sharded: Whether the rule accepts an embedding that is a shard of the pool: its selector
            returns the same ranks on all processes, as positions of the whole pool.

    Returns:
        A decorator for ``rule(embedding, *, seed, backend, **own_arguments) -> Selector``. If the
        rule has a parameter ``labeled`` or ``posterior``, it receives that argument of ``order``;
        other parameters are the strategy's own arguments.

    Example:
        >>> from lightning_badge import OneShotSelector
        >>> from lightning_badge.ordering import Picks
        >>> class Reversed(OneShotSelector):
        ...     def _rank(self, remaining):
        ...         return Picks.of(remaining[::-1], float("nan"))
        >>> @strategy("reversed")
        ... def reversed_pool(embedding, *, seed, backend):
        ...     return Reversed(embedding)
        >>> check_strategy("reversed").arguments
        frozenset()
        >>> del STRATEGIES["reversed"]
    """

    def register(rule: Callable[..., Selector]) -> Callable[..., Selector]:
        parameters = inspect.signature(rule).parameters
        uses = _CONTEXT & set(parameters)
        needs = {used for used in uses if parameters[used].default is inspect.Parameter.empty}
        own = frozenset(parameters) - _CONTEXT - _COMMON
        STRATEGIES[name] = Registered(rule, uses, frozenset(needs), own, measures_coverage, sharded)
        return rule

    return register


def check_strategy(name: str, arguments: Mapping[str, Any] | None = None) -> Registered:
    """Returns the strategy called ``name``.

    Raises:
        OrderingError: No such strategy, or a name in ``arguments`` that it does not accept.
    """
    if not isinstance(name, str) or name not in STRATEGIES:
        raise OrderingError(
            f"strategy: expected one of {', '.join(sorted(STRATEGIES))}, got {name!r}"
        )
    registered = STRATEGIES[name]
    if unknown := sorted(set(arguments or ()) - registered.arguments):
        takes = ", ".join(sorted(registered.arguments)) or "no arguments of its own"
        raise OrderingError(f"strategy {name!r} takes {takes}; got {', '.join(unknown)}")
    return registered


def check_sharded(name: str) -> None:
    """Checks that several processes can compute a strategy together.

    Raises:
        OrderingError: They cannot; the message lists the strategies that they can.
    """
    if not STRATEGIES[name].sharded:
        able = ", ".join(sorted(other for other, rule in STRATEGIES.items() if rule.sharded))
        raise OrderingError(
            f"strategy {name!r} cannot be computed by several processes; use one process, or one "
            f"of {able}"
        )

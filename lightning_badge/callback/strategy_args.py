"""A strategy's own arguments, checked before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import check_strategy, order

# Keys of a strategy's configuration that are not arguments of the strategy.
_NAME, _SAMPLES = "name", "posterior_samples"


def own_arguments(strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments in a strategy's configuration, for ``configs/callbacks``.

    Args:
        strategy: ``name``, ``posterior_samples`` and the arguments, as in ``configs/strategy``.

    Example:
        >>> own_arguments({"name": "batchbald", "posterior_samples": 20, "depth": 40})
        {'depth': 40}
    """
    return {key: value for key, value in strategy.items() if key not in (_NAME, _SAMPLES)}


def check_strategy_args(
    strategy: str,
    strategy_args: Mapping[str, Any] | None = None,
    *,
    first_center: str | None = None,
) -> dict[str, Any]:
    """Returns a strategy's arguments if they are valid.

    Names are looked up in the registry. Values are tried on a pool of two rows, so that the
    strategy's own checks raise before training.

    Args:
        strategy: Name of the strategy.
        strategy_args: Arguments of the strategy, by name.
        first_center: One more argument; None if not given.

    Raises:
        OrderingError: An unknown strategy, an argument that it does not take or that is given
            twice, or a value that it refuses.

    Example:
        >>> check_strategy_args("badge", first_center="max_norm")
        {'first_center': 'max_norm'}
    """
    if not isinstance(strategy_args, Mapping | None):
        raise OrderingError(
            f"strategy_args: expected a dict, got {type(strategy_args).__name__}; "
            "pass arguments by name, such as {'first_center': 'max_norm'}"
        )
    arguments = dict(strategy_args or {})
    if first_center is not None:
        if "first_center" in arguments:
            raise OrderingError("first_center: given twice, also in strategy_args; give it once")
        arguments["first_center"] = first_center
    check_strategy(strategy, arguments)
    if arguments:
        _try(strategy, arguments)
    return arguments


@torch.inference_mode(False)
def _try(strategy: str, arguments: Mapping[str, Any]) -> None:
    needs = check_strategy(strategy).needs
    pool = GradientEmbedding.from_logits(torch.ones(2, 1), torch.eye(2), backend="torch")
    context: dict[str, Any] = {"labeled": pool, "posterior": torch.full((2, 1, 2), 0.5)}
    needed = {need: context[need] for need in needs}
    order(pool, strategy, k=1, backend="torch", **needed, **arguments)

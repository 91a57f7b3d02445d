"""Checks that the strategy measures what the budget reads, before anything is trained."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_badge.app.prices import parts_of
from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import CoverageBudget
from lightning_badge.ordering import STRATEGIES


def check_coverage(config: DictConfig, budget: Any) -> None:
    """Raises a BudgetError if ``budget=coverage`` meets a strategy without coverage."""
    name = OmegaConf.select(config, "strategy.name")
    needs = any(isinstance(part, CoverageBudget) for part in parts_of(budget))
    if not needs or name not in STRATEGIES:
        return
    if not STRATEGIES[name].measures_coverage:
        measuring = ", ".join(
            f"strategy={key}" for key, it in sorted(STRATEGIES.items()) if it.measures_coverage
        )
        raise BudgetError(
            f"budget=coverage: strategy {name!r} does not measure coverage, the share of the "
            f"scatter of gradient embeddings; use one of {measuring}, or another budget"
        )

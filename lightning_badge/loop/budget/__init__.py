"""Budgets: how many labels to ask for in a round.

The ordering does not depend on the budget, so the number may change until labeling starts: a few
labels today, thousands tomorrow. To add a budget, add one file here and one config in
``configs/budget`` whose ``_target_`` names its class.
"""

from lightning_badge.loop.budget.all_of import AllOfBudget
from lightning_badge.loop.budget.any_of import AnyOfBudget
from lightning_badge.loop.budget.base import Budget
from lightning_badge.loop.budget.cost import CostBudget
from lightning_badge.loop.budget.coverage import CoverageBudget
from lightning_badge.loop.budget.deadline import DeadlineBudget
from lightning_badge.loop.budget.fixed import FixedBudget
from lightning_badge.loop.budget.on_demand import OnDemandBudget
from lightning_badge.loop.budget.schedule import ScheduleBudget
from lightning_badge.loop.budget.until import UntilBudget
from lightning_badge.loop.budget.variable import VariableBudget

__all__ = [
    "AllOfBudget",
    "AnyOfBudget",
    "Budget",
    "CostBudget",
    "CoverageBudget",
    "DeadlineBudget",
    "FixedBudget",
    "OnDemandBudget",
    "ScheduleBudget",
    "UntilBudget",
    "VariableBudget",
]

"""The prices of samples, from a column of a file of rows."""

from collections.abc import Mapping
from typing import Any

from lightning_badge.app.sample_columns import column_of
from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import CostBudget
from lightning_badge.store.columns import write_column
from lightning_badge.store.label_store import LabelStore


def commit_prices(store: LabelStore, budget: Any, config: Mapping[str, Any]) -> None:
    """Writes the column of prices of a budget, if it has one; call it in a transaction.

    Raises:
        BadgeError: The file cannot be read, or holds a value that is no price.
    """
    for part in parts_of(budget):
        if isinstance(part, CostBudget) and part.column is not None:
            values = column_of(config, part.table, part.column)
            prices = {key: _price(part.column, key, value) for key, value in values.items()}
            write_column(store.changes, part.column, prices)


def parts_of(budget: Any) -> list[Any]:
    """Returns a budget and those that it consists of."""
    inner = getattr(budget, "of", None)
    found = inner.values() if isinstance(inner, Mapping) else ()
    return [budget, *(part for each in found for part in parts_of(each))]


def _price(column: str, sample_id: str, value: Any) -> float:
    try:
        price = float(value)
    except (TypeError, ValueError):
        price = -1.0
    if not 0 <= price < float("inf"):
        raise BudgetError(
            f"budget.column={column}: expected a price of 0 or more for sample {sample_id}, got "
            f"{value!r}"
        )
    return price

"""Values of samples, such as a price or a camera, as rows of the label store.

Every process that hands out samples sees the same values.
"""

from collections.abc import Mapping
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.store.changes import ChangeLog

_KIND = "column:"


def write_column(changes: ChangeLog, name: str, values: Mapping[str, Any]) -> None:
    """Writes a column, unless it is known; call it in a transaction.

    Args:
        changes: The changes of the label store.
        name: Name of the column.
        values: A number or a text by sample id, as text; samples without a value are left out.

    Raises:
        LabelError: There are no values.
    """
    if not values:
        raise LabelError(f"column {name!r}: expected values of samples, got none")
    facts = {"ids": list(values), "values": list(values.values())}
    last = changes.last(_KIND + name)
    if last is None or last.facts != facts:
        changes.write(_KIND + name, facts)


def read_column(changes: ChangeLog, name: str) -> dict[str, Any]:
    """Returns the values of a column by sample id, as text; none if there is no such column."""
    last = changes.last(_KIND + name)
    return {} if last is None else dict(zip(last.facts["ids"], last.facts["values"], strict=True))

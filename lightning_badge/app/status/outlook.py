"""What the last labels of a run brought, from its files."""

import math
from collections.abc import Mapping
from typing import Any

from lightning_badge.app.status.run_files import RunFiles
from lightning_badge.outlook import MeasuredRound, Outlook, outlook


def run_outlook(files: RunFiles) -> Outlook | None:
    """Returns the outlook of a run; None if nothing can be said yet."""
    rounds = [facts for _, facts in sorted(files.round_facts.items())]
    if not rounds:
        return None
    data = files.config.get("data")
    is_multilabel = bool(data.get("multilabel")) if isinstance(data, dict) else False
    measured = (_measured(facts, files.metric) for facts in rounds)
    return outlook(measured, pool=rounds[-1]["pool"], multilabel=is_multilabel)


def _measured(facts: Mapping[str, Any], metric: str) -> MeasuredRound:
    value = facts.get("metrics", {}).get(metric)
    return MeasuredRound(
        facts["labeled"],
        math.nan if value is None else value,
        facts.get("validated"),
        facts.get("correct"),
    )

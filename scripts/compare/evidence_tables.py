"""The tables of an experiment's page in Markdown; each number with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from compare.advice import KINDS, Advice
from compare.data_sets import CLASSES
from compare.evidence import Effect, Standing, ahead_in, budget_areas
from compare.forecasts import Held
from compare.measured import BASELINE, BUDGETS, Measured, in_points
from compare.stopping import Stop
from lightning_badge.research.comparison.report import markdown_table
from lightning_badge.research.comparison.savings import Saved

BUDGET_WORDS = {
    "low": "low: under 2",
    "middle": "middle: 2 to 10",
    "high": "high: over 10",
}


def standings_table(found: Sequence[Standing]) -> str:
    """Returns a table with a row for each contestant."""
    head = ["", "area", "balanced", "ahead", "wins", "losses", "penalty"]
    rows = [
        [
            f"**{one.name}**",
            f"{one.area:.1f}",
            f"{one.balanced:.1f}",
            "" if one.name == BASELINE else in_points(one.ahead, one.ahead_half_width),
            f"{one.wins:.1f}",
            f"{one.losses:.1f}",
            f"{one.penalty:.2f}",
        ]
        for one in found
    ]
    return markdown_table(head, rows)


def effects_table(found: Sequence[Effect], told: Sequence[str]) -> str:
    """Returns a table of where each contestant helps and where it hurts."""
    head = ["", "better in", "worse in", "most", "least"]
    rows = [
        [
            f"**{one.name}**",
            f"{one.helped} of {one.settings}",
            f"{one.hurt} of {one.settings}",
            f"{name_of(one.best, told)}: {in_points(*one.best_ahead)}",
            f"{name_of(one.worst, told)}: {in_points(*one.worst_ahead)}",
        ]
        for one in found
    ]
    return markdown_table(head, rows)


def budgets_table(settings: Sequence[Measured], names: Sequence[str]) -> str:
    """Returns a table of how far contestants are ahead in each budget."""
    by_budget = {budget: budget_areas(settings, budget) for budget in BUDGETS}
    present = {budget: values for budget, values in by_budget.items() if values}
    counts = [f"{budget} ({values[BASELINE][2]})" for budget, values in present.items()]
    rows = [
        [f"**{name}**", *(in_points(*values[name][:2]) for values in present.values())]
        for name in names
        if name != BASELINE
    ]
    return markdown_table(["(settings)", *counts], rows)


def advice_table(found: Sequence[Advice], reference: str) -> str:
    """Returns the table: your data and budget, strategy, labels saved, where it hurts."""
    head = [
        "your data (classes)",
        "your budget, labels a class",
        "take",
        "labels saved",
        "data sets",
        "where it hurts",
    ]
    rows = [_advice_row(one) for one in found]
    return markdown_table([*head, f"`{reference}` saves"], rows)


def data_table(settings: Sequence[Measured], names: Sequence[str], told: Sequence[str]) -> str:
    """Returns a table with a row for each setting."""
    rows = [
        [
            f"**{name_of(setting, told)}** ({CLASSES[setting.data]})",
            *(in_points(*ahead_in(setting, name)) for name in names),
        ]
        for setting in settings
    ]
    return markdown_table(["(classes)", *names], rows)


def held_table(head: str, measured: Sequence[Held], on_the_curve: Sequence[Held]) -> str:
    """Returns a table of how often estimates held, at models and on the curve."""
    columns = [head, "estimates", "held", "measured above", "measured below", "width", "error"]
    rows = [
        [
            f"**{one.name}**",
            f"{one.estimates:,}",
            percent(one.share, one.half_width),
            percent(one.too_low),
            percent(one.too_high),
            f"{one.width:.1f}",
            f"{one.error:.1f}",
            percent(other.share, other.half_width),
        ]
        for one, other in zip(measured, on_the_curve, strict=True)
    ]
    return markdown_table([*columns, "held on the curve"], rows)


def stops_table(found: Sequence[Stop]) -> str:
    """Returns a table of where runs would have stopped by coverage."""
    head = ["", "coverage", "runs that reached it", "labels used", "points to come"]
    rows = [
        [
            f"**{one.contestant}**",
            f"{100 * one.coverage:.0f} %",
            f"{one.reached} of {one.runs}",
            " / ".join(f"{100 * value:.0f} %" for value in one.labels) if one.reached else "",
            " / ".join(f"{value:.1f}" for value in one.to_come) if one.reached else "",
        ]
        for one in found
    ]
    return markdown_table(head, rows)


def name_of(setting: Measured, told: Sequence[str]) -> str:
    """Returns the data set of a setting, and in what else it differs from others.

    Args:
        setting: The setting.
        told: Of ``model``, ``start`` and ``batches`` those to tell.
    """
    return ", ".join([setting.data, *(f"{name} {getattr(setting, name)}" for name in told)])


def saved_words(saved: Saved) -> str:
    """Returns labels saved in per cent, with the interval."""
    low, high = saved.interval()
    return f"{100 * saved.share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def percent(share: float, half_width: float = float("nan")) -> str:
    """Returns a share in per cent, with its interval if it has one.

    Example:
        >>> percent(81.25, 3.0), percent(4.5)
        ('81 ± 3 %', '4 %')
    """
    return f"{share:.0f}" + ("" if half_width != half_width else f" ± {half_width:.0f}") + " %"


def _advice_row(one: Advice) -> list[str]:
    thin = one.too_thin
    return [
        _kind(one.kind),
        BUDGET_WORDS[one.budget],
        f"too thin: {thin} (`{one.strategy}` saved most)" if thin else f"`{one.strategy}`",
        saved_words(one.saved),
        str(one.data_sets),
        _where_it_hurts(one),
        saved_words(one.reference_saved),
    ]


def _where_it_hurts(one: Advice) -> str:
    """Returns the data set in which a strategy does worst, and whether it is harmful there."""
    mean, half_width = one.worst_ahead
    place = f"{one.worst}: {saved_words(one.worst_saved)}; {in_points(mean, half_width)} points"
    if mean + half_width < 0:
        return f"hurts in {place}"
    return f"perhaps {place}" if one.worst_saved.interval()[0] <= 0 else f"nowhere; least {place}"


def _kind(kind: str) -> str:
    counts = sorted({CLASSES[name] for name in KINDS[kind]})
    return f"{kind} ({counts[0]} to {counts[-1]})"

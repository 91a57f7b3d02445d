"""The text of an experiment's page: sections, and sentences whose numbers are in its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from compare.advice import advices
from compare.evidence import (
    REFERENCE,
    Default,
    Effect,
    Standing,
    contestants_of,
    default_over,
    effects,
)
from compare.evidence_tables import (
    advice_table,
    budgets_table,
    data_table,
    effects_table,
    held_table,
    name_of,
    percent,
    standings_table,
    stops_table,
)
from compare.forecasts import NEAR, Estimate, Held, estimates, held_over
from compare.measured import BASELINE, Measured, in_points
from compare.shared_work import cells_in, versions_in
from compare.stopping import Stop, stops
from lightning_badge.accuracy_change import LEVEL

STARTS = {"random": "20 random labels at the start", "cold": "no label at the start"}

ADVICE_EXPLAINED = (
    "*take*: the strategy that needs the fewest labels for the accuracy that `random` reaches "
    "at the end of the budget. *labels saved*: how many fewer it needs than `random`, the mean "
    "over the data sets with its 95 % bootstrap interval over seeds. The strategy is chosen on "
    "the same runs, which favours it; that in the last column is not chosen. *where "
    "it hurts*: the data set in which it saves least, what it saves there, and by how many "
    "points of accuracy it is ahead of `random` at the end of the budget, or behind. It hurts "
    "if it is behind with its whole 95 % interval, which is not corrected for many tests as *worse "
    "in* on the pages is, and perhaps if the interval of the labels saved contains 0. The end of a "
    "high budget is that of the runs. Data and budgets that the runs do not cover are left out.\n"
)
# Where several settings have the same data set.
SHARED = ", which is too narrow, because settings share data sets"
FEW = ", which says next to nothing of two: the table by data set has each by itself"


def page_of(
    table: pa.Table,
    settings: Sequence[Measured],
    found: Sequence[Standing],
    name: str,
) -> Iterator[str]:
    """Yields the parts of the page."""
    told, names = differ(settings), [one.name for one in found]
    by_effect = effects(settings)
    yield f"# Results of {name}\n"
    yield from unfinished(table)
    yield extent(table, settings)
    yield f"![learning curves]({name}_curves.png)\n"
    yield (
        "Mean accuracy over seeds, with 95 % intervals: `random`, `badge`, and the strategies of "
        "the largest mean area. The tables have all strategies.\n"
    )
    yield "## In short\n"
    yield from in_short(found, by_effect, told)
    yield default_words(default_over([table]), "over this part alone")
    yield "## Labels saved\n"
    yield advice_of(settings)
    yield ADVICE_EXPLAINED
    several = _settings_or_data_sets(told)
    few = FEW if by_effect[0].are_few else ""
    remark = few or (SHARED if told else "")
    yield f"## Over all {several}\n"
    yield (
        "Areas in per cent. *ahead*: area minus that of `random`, with its 95 % interval over "
        f"{several}{remark}. *wins* and *losses*: significant ones against all other strategies, "
        "after Holm's correction; a test counts 1 / (number of sizes), so that "
        f"{most(found, settings)} is the most. *penalty*: mean of the column in the penalty "
        "matrix; low is good.\n"
    )
    yield standings_table(found)
    yield "## Where each helps, and where it hurts\n"
    yield (
        f"Compared with `random`. *better in*, *worse in*: {several} with a significant win or "
        f"loss at one size or more, after Holm's correction. *most*, *least*: the {several} of the "
        "largest and the smallest difference of areas, in points with its 95 % interval over "
        "seeds.\n"
    )
    yield effects_table(by_effect, told)
    yield "## Low, middle and high budgets\n"
    yield (
        "Points of area ahead of `random` under 2, from 2 to 10, and over 10 labels a class, with "
        f"the 95 % interval over {several} (their number is in brackets){few}.\n"
    )
    yield budgets_table(settings, [name for name in names if name != BASELINE])
    yield "## By setting\n" if told else "## By data set\n"
    yield "Points of area ahead of `random`, with the 95 % interval over seeds.\n"
    yield data_table(settings, [name for name in names if name != BASELINE], told)
    yield from worth_going_on(table)
    yield from coverage_as_a_stop(table)
    yield "## Penalty matrix\n"
    yield "Each test for itself at 95 %, as in the BADGE paper, without Holm's correction.\n"
    yield f"![penalty matrix]({name}_penalties.png)\n"


def unfinished(table: pa.Table) -> Iterator[str]:
    """Yields a warning if cells are missing."""
    counted = cells_in(table)
    if not counted.are_all:
        yield f"**Not finished: {counted} cells. The numbers may change.**\n"


def extent(table: pa.Table, settings: Sequence[Measured]) -> str:
    """Returns how much was computed, and by what."""
    counted, first = cells_in(table), settings[0]
    seeds = sorted({len(setting.seeds) for setting in settings})
    spread = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    what = f"{len(settings)} settings"
    if not differ(settings):
        start = STARTS.get(first.start, first.start)
        what = f"Model `{first.model}`, {start}, batches {first.batches}: {len(settings)} data sets"
    return (
        f"{what}, {spread} seeds each, {counted.finished:,} cells in {counted.hours:.1f} hours of "
        f"one process; {versions_in(table) or 'versions not recorded'}. Made from the table of "
        "results alone, by the rules of [experiments.md](../experiments.md#rules).\n"
    )


def in_short(
    found: Sequence[Standing], by_effect: Sequence[Effect], told: Sequence[str]
) -> Iterator[str]:
    """Yields sentences; all of their numbers are in the tables."""
    best = found[0]
    ahead_of = {one.name: ahead_words(one, told) for one in by_effect}
    comparisons = (len(found) - 1) * by_effect[0].settings
    if best.name == BASELINE:
        yield f"- No strategy has a larger mean area than `{BASELINE}`."
    else:
        yield (
            f"- `{best.name}` has the largest mean area: {ahead_of[best.name]} points ahead of "
            f"`{BASELINE}`, and significantly loses {best.losses:.1f} of {comparisons} comparisons."
        )
    for one in found[1:]:
        if one.name == REFERENCE:
            yield (
                f"- `{one.name}`: {ahead_of[one.name]} points, and it significantly loses "
                f"{one.losses:.1f}."
            )
    yield from _apart(by_effect, told)
    hurt = min(by_effect, key=lambda one: one.worst_ahead[0])
    yield (
        f"- The worst case against `{BASELINE}`: `{hurt.name}` on {name_of(hurt.worst, told)}, "
        f"{in_points(*hurt.worst_ahead)} points.\n"
    )


def ahead_words(effect: Effect, told: Sequence[str] = ()) -> str:
    """Returns how many points a strategy is ahead of ``random``, of two settings for each."""
    if not effect.are_few:
        return in_points(*effect.ahead)
    each = (effect.best, effect.best_ahead), (effect.worst, effect.worst_ahead)
    return " and ".join(f"{in_points(*ahead)} ({name_of(where, told)})" for where, ahead in each)


def _apart(by_effect: Sequence[Effect], told: Sequence[str]) -> Iterator[str]:
    """Yields which strategies are not better than ``random`` over all settings."""
    if by_effect[0].are_few:
        rest = [one for one in by_effect[1:] if one.name != REFERENCE]
        words = "; ".join(f"`{one.name}` {ahead_words(one, told)}" for one in rest)
        if words:
            yield f"- The others: {words}."
        return
    groups = {
        "not told apart from": [one for one in by_effect if abs(one.ahead[0]) <= one.ahead[1]],
        "worse than": [one for one in by_effect if one.ahead[0] < -one.ahead[1]],
    }
    over = f"Over all {_settings_or_data_sets(told)}"
    for words, several in groups.items():
        if several:
            names = ", ".join(f"`{one.name}` ({in_points(*one.ahead)})" for one in several)
            yield f"- {over} {words} `{BASELINE}`, by the 95 % intervals: {names}."


def default_words(default: Default | None, where: str) -> str:
    """Returns a sentence on the default of ``data=folder`` by the rules."""
    if default is None:
        return (
            f"There are too few seeds or strategies {where} to choose a default of `data=folder` "
            "by the rules.\n"
        )
    models = " and ".join(f"{count} of `{name}`" for name, count in default.settings.items())
    others = {one.name: one.losses for one in (default.runner_up, default.reference)}
    others.pop(default.chosen.name, None)
    behind = "".join(f", `{name}` {losses:.1f}" for name, losses in others.items())
    return (
        f"By the rules the default of `data=folder` is `{default.chosen.name}`, {where}: where all "
        f"candidates ran ({models}), it significantly loses {default.chosen.losses:.1f} of "
        f"{default.comparisons} comparisons{behind}.\n"
    )


def advice_of(settings: Sequence[Measured]) -> str:
    """Returns the table of advice; `ADVICE_EXPLAINED` says how to read it."""
    names = [name for name in contestants_of(settings) if name != BASELINE]
    reference = REFERENCE if REFERENCE in names else names[0]
    return advice_table(advices(settings, reference), reference)


def worth_in_short(table: pa.Table) -> Iterator[str]:
    """Yields sentences on forecasts and on coverage as a stop; their numbers are in the tables."""
    if at_models := estimates(table, at_a_model=True):
        overall = next(iter(held_over(at_models)))
        yield (
            "- `forecast` estimates what the next hundred labels bring. "
            f"{_held_words(overall)} {_least_words(at_models)}"
        )
    if words := _stop_words(stops(table)):
        yield f"- Coverage as a stopping rule:{words.replace(' Of', ' of', 1)}"


def worth_going_on(table: pa.Table) -> Iterator[str]:
    """Yields how often the estimate of the next labels held; nothing without an estimate."""
    at_models, on_curve = (estimates(table, at_a_model=flag) for flag in (True, False))
    if not at_models or {one.contestant for one in at_models} != {
        one.contestant for one in on_curve
    }:
        return
    yield "## Is it worth going on?\n"
    overall, other = (next(iter(held_over(several))) for several in (at_models, on_curve))
    yield (
        "After each round from the fourth on, `forecast` estimates the accuracy with about 100 "
        "more labels, from the rounds so far and the number of test samples. "
        f"{_held_words(overall)} {_least_words(at_models)} "
        f"*held*: against the next model that was trained on {NEAR[0]} to {NEAR[1]} labels more. "
        "*held on the curve*: against exactly 100 more, where the measured curve is interpolated, "
        f"which averages noise ({percent(other.share, other.half_width)}). Shares are means over "
        "data sets, from three on with the 95 % interval over them, of one data set over seeds; "
        "*width* and *error* are medians, in points.\n"
    )
    yield held_table("", [overall], [other])
    for by, head in (("contestant", "strategy"), ("data", "data set")):
        ours = {one.name: one for one in held_over(at_models, by)}
        theirs = {one.name: one for one in held_over(on_curve, by)}
        names = sorted(set(ours) & set(theirs))
        yield held_table(head, [ours[name] for name in names], [theirs[name] for name in names])


def coverage_as_a_stop(table: pa.Table) -> Iterator[str]:
    """Yields what stopping at a coverage would have meant; nothing where none was measured."""
    found = stops(table)
    if not found:
        return
    yield "## Coverage as a stopping rule\n"
    yield (
        "Runs that stop at the first query that reaches a coverage: the share of the labels until "
        "the end that were used by then, and the points of accuracy that were still to come; "
        "quartiles over the runs that reached it. Those that did not would have gone on to the "
        f"end.{_stop_words(found)}\n"
    )
    yield stops_table(found)


def differ(settings: Sequence[Measured]) -> list[str]:
    """Returns in what settings differ beside the data set."""
    names = "model", "start", "batches"
    return [name for name in names if len({getattr(one, name) for one in settings}) > 1]


def _settings_or_data_sets(told: Sequence[str]) -> str:
    return "settings" if told else "data sets"


def most(found: Sequence[Standing], settings: Sequence[Measured]) -> int:
    """Returns the largest number of significant wins that a contestant can have."""
    return (len(found) - 1) * len(settings)


def _held_words(overall: Held) -> str:
    return (
        f"Its {100 * LEVEL:.0f} % interval held in {percent(overall.share, overall.half_width)} of "
        f"{overall.estimates:,} cases."
    )


def _least_words(at_models: Sequence[Estimate]) -> str:
    least = min(held_over(at_models, "contestant"), key=lambda one: one.share)
    return f"Least often with `{least.name}`: {percent(least.share, least.half_width)}."


def _stop_words(found: Sequence[Stop]) -> str:
    ours = [stop for stop in found if stop.contestant == REFERENCE and stop.reached]
    if not ours:
        return ""
    stop = ours[0]
    return (
        f" Of the runs of `{REFERENCE}` that reached {100 * stop.coverage:.0f} % "
        f"({stop.reached} of {stop.runs}), a quarter had {stop.to_come[2]:.1f} points or more "
        f"still to come, and a quarter {stop.to_come[0]:.1f} or less."
    )

"""Writes what a table of results says: a page in Markdown and two pictures.

``python scripts/compare/evidence_page.py TABLE.parquet --out DIR`` needs the table alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compare.evidence import (
    Advice,
    Standing,
    advices,
    budget_areas,
    contestants_of,
    default_of,
    penalties,
    standings,
)
from compare.measured import BASELINE, BUDGETS, Measured, in_points, settings_in
from compare.shared_work import versions_in
from lightning_badge.durable.file import replacing
from lightning_badge.research.comparison import mean_interval
from lightning_badge.research.comparison.log_curves import on_grid
from lightning_badge.research.comparison.report import markdown_table
from lightning_badge.research.comparison.savings import Saved
from lightning_badge.research.viz.comparison import Band, draw_penalty_matrix
from lightning_badge.research.viz.small_multiples import draw_small_multiples

SHOWN = 4  # curves beside that of the baseline
SEEDS_TO_CHOOSE = 10  # tests of fewer seeds find nothing, or what is not there


def write_evidence(table: pa.Table, out_dir: Path, name: str) -> Path:
    """Writes ``NAME.md``, ``NAME_curves.png`` and ``NAME_penalties.png``; returns the page.

    Args:
        table: Rows of finished cells.
        out_dir: Folder.
        name: Of the experiment.

    Raises:
        BadgeError: Too few cells for any comparison.
    """
    settings = settings_in(table)
    found = standings(settings)
    names = contestants_of(settings)
    pictures = {
        "curves": draw_small_multiples(
            {
                one.name if _differ(settings) else one.data: bands(one, shown(found))
                for one in settings
            },
            metric="accuracy",
            baseline=BASELINE,
        ),
        "penalties": draw_penalty_matrix(names, penalties(settings), settings=len(settings)),
    }
    for kind, figure in pictures.items():
        with replacing(out_dir / f"{name}_{kind}.png") as temporary:
            figure.savefig(temporary, format="png")
    page = out_dir / f"{name}.md"
    with replacing(page) as temporary:
        temporary.write_text("\n".join(page_of(table, settings, found, name)), encoding="utf-8")
    return page


def shown(found: Sequence[Standing]) -> list[str]:
    """Returns the contestants to draw: the baseline, ``badge``, and those of the largest areas."""
    others = [one.name for one in found if one.name not in (BASELINE, "badge")]
    badge = ["badge"] if any(one.name == "badge" for one in found) else []
    return [BASELINE, *badge, *others[: SHOWN - len(badge)]]


def bands(setting: Measured, names: Sequence[str]) -> dict[str, Band]:
    """Returns mean curves with their 95 % intervals over seeds."""
    grid = setting.grid(setting.last)
    return {
        name: Band(grid, *mean_interval(on_grid(setting.curves[name], grid)))
        for name in names
        if name in setting.curves
    }


def page_of(
    table: pa.Table, settings: Sequence[Measured], found: Sequence[Standing], name: str
) -> Iterator[str]:
    """Yields the parts of the page."""
    can_choose = min(len(setting.seeds) for setting in settings) >= SEEDS_TO_CHOOSE
    default = default_of(found).name if can_choose else shown(found)[1]
    yield f"# {name}\n"
    yield _extent(table, settings)
    yield f"![learning curves]({name}_curves.png)\n"
    yield "## Over all settings\n"
    yield (
        "Areas in per cent; *ahead*: area minus that of `random`, with its 95 % interval over "
        "settings. Significant wins and losses, in settings: against all other strategies, after "
        "Holm's correction; a test counts 1 / (number of sizes). *penalty*: mean of the column in "
        "the penalty matrix; low is good.\n"
    )
    yield standings_table(found)
    if can_choose:
        yield f"By the rules the default of `data=folder` is `{default}`.\n"
    else:
        yield f"With fewer than {SEEDS_TO_CHOOSE} seeds no default is chosen.\n"
    yield "## Low, middle and high budgets\n"
    yield "Points of area ahead of `random` under 2, from 2 to 10, and over 10 labels a class.\n"
    yield budgets_table(settings, [one.name for one in found])
    yield "## Labels saved\n"
    yield (
        "The strategy that saves most labels against `random` up to the end of a budget, the mean "
        "over the data sets of a kind with its 95 % bootstrap interval over seeds. *where it "
        "hurts*: the data set in which it saves least.\n"
    )
    yield advice_table(advices(settings, default), default)
    yield "## By data set\n"
    yield "Points of area ahead of `random`: mean and half width of the 95 % interval over seeds.\n"
    yield data_table(settings, [one.name for one in found if one.name != BASELINE])
    yield "## Penalty matrix\n"
    yield f"![penalty matrix]({name}_penalties.png)\n"


def standings_table(found: Sequence[Standing]) -> str:
    """Returns a table with a row for each contestant."""
    head = ["", "area", "balanced", "ahead", "wins", "losses", "penalty"]
    rows = [
        [
            f"**{one.name}**",
            f"{one.area:.1f}",
            f"{one.balanced:.1f}",
            in_points(one.ahead, one.ahead_half_width),
            f"{one.wins:.1f}",
            f"{one.losses:.1f}",
            f"{one.penalty:.2f}",
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


def advice_table(found: Sequence[Advice], default: str) -> str:
    """Returns the table: your data and budget, strategy, labels saved, where it hurts."""
    head = ["data", "budget", "data sets", "strategy", "labels saved", "where it hurts", default]
    rows = [
        [
            one.kind,
            one.budget,
            str(one.settings),
            f"`{one.strategy}`",
            _saved(one.saved),
            f"{one.worst}: {100 * one.worst_saved:.0f} %",
            _saved(one.default_saved),
        ]
        for one in found
    ]
    return markdown_table(head, rows)


def data_table(settings: Sequence[Measured], names: Sequence[str]) -> str:
    """Returns a table with a row for each setting."""
    rows = []
    for setting in settings:
        base = setting.areas(BASELINE)
        cells = []
        for name in names:
            mean, width = mean_interval(100 * (setting.areas(name) - base))
            cells.append(in_points(float(mean), float(width)))
        rows.append([f"**{setting.name if _differ(settings) else setting.data}**", *cells])
    return markdown_table(["", *names], rows)


def _extent(table: pa.Table, settings: Sequence[Measured]) -> str:
    last = table.group_by("cell").aggregate([("seconds", "max")])
    hours = float(np.sum(last["seconds_max"].to_numpy())) / 3600
    seeds = sorted({len(setting.seeds) for setting in settings})
    spread = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"{len(settings)} settings, {spread} seeds each, {last.num_rows:,} cells in {hours:.1f} "
        f"hours of one process; {versions_in(table)}. Made from the table of results alone by "
        "`python scripts/compare/evidence_page.py`.\n"
    )


def _differ(settings: Sequence[Measured]) -> bool:
    """Returns whether settings differ in more than the data set."""
    return len({(one.model, one.start, one.batches) for one in settings}) > 1


def _saved(saved: Saved) -> str:
    low, high = saved.interval()
    return f"{100 * saved.share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    """Parses the command line and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="results.parquet of an experiment")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of page and pictures")
    parser.add_argument("--name", help="of the experiment; by default that of the table")
    arguments = parser.parse_args()
    with one_line_errors():
        table = pq.read_table(arguments.table)
        print(write_evidence(table, arguments.out, arguments.name or arguments.table.stem))


if __name__ == "__main__":
    main()

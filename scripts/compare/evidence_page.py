"""Writes what a table of results says: a page in Markdown and two pictures.

``python scripts/compare/evidence_page.py TABLE.parquet --out DIR`` needs the table alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import pyarrow as pa

from compare.data_sets import CLASSES
from compare.evidence import REFERENCE, Standing, penalties, standings
from compare.evidence_tables import name_of
from compare.evidence_text import differ, page_of
from compare.measured import BASELINE, Measured, settings_in
from compare.shared_work import stored
from lightning_badge.durable.file import replacing
from lightning_badge.research.comparison import mean_interval
from lightning_badge.research.comparison.log_curves import on_grid
from lightning_badge.research.viz.comparison import Band, draw_penalty_matrix
from lightning_badge.research.viz.small_multiples import draw_small_multiples

SHOWN = 4  # curves beside that of the baseline


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
    told, names = differ(settings), [one.name for one in found]
    panels = {
        name_of(one, told) + ("" if told else f" ({CLASSES[one.data]} classes)"): bands(
            one, shown(found)
        )
        for one in settings
    }
    pictures = {
        "curves": draw_small_multiples(panels, metric="accuracy", baseline=BASELINE),
        "penalties": draw_penalty_matrix(names, penalties(settings, names), settings=len(settings)),
    }
    for kind, figure in pictures.items():
        with replacing(out_dir / f"{name}_{kind}.png") as temporary:
            figure.savefig(temporary, format="png")
    page = out_dir / f"{name}.md"
    text = "\n".join(page_of(table, settings, found, name))
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def shown(found: Sequence[Standing]) -> list[str]:
    """Returns the contestants to draw: the baseline, ``badge``, and those of the largest areas."""
    others = [one.name for one in found if one.name not in (BASELINE, REFERENCE)]
    reference = [REFERENCE] if any(one.name == REFERENCE for one in found) else []
    return [BASELINE, *reference, *others[: SHOWN - len(reference)]]


def bands(setting: Measured, names: Sequence[str]) -> dict[str, Band]:
    """Returns mean curves with their 95 % intervals over seeds."""
    grid = setting.grid(setting.last)
    return {
        name: Band(grid, *mean_interval(on_grid(setting.curves[name], grid)))
        for name in names
        if name in setting.curves
    }


def main() -> None:
    """Parses the command line and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="results.parquet of an experiment")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of page and pictures")
    parser.add_argument("--name", help="of the experiment; by default that of the table")
    arguments = parser.parse_args()
    with one_line_errors():
        table = stored(arguments.table)
        print(write_evidence(table, arguments.out, arguments.name or arguments.table.stem))


if __name__ == "__main__":
    main()

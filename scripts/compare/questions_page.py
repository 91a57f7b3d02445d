"""Answers the questions that need several tables of results, as a page in Markdown.

``python scripts/compare/questions_page.py TABLE.parquet ... --out FILE.md`` needs the tables alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import pyarrow as pa

from compare.measured import Measured, in_points, settings_in
from compare.questions import (
    Difference,
    between_batches,
    between_contestants,
    choices,
)
from compare.shared_work import stored
from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.report import markdown_table

BATCHES = (("variable", "50"), ("10", "200"), ("50", "200"))
# Contestants that use the size of the batch, and those whose prefixes they are compared with.
FRESH = (("badge trials=2+log k", "badge"), ("typiclust clusters=labeled+k", "typiclust"))


def questions_page(tables: Sequence[pa.Table]) -> str | None:
    """Returns the page: a section for each question that the tables answer; None without any."""
    several = [settings_in(table) for table in tables]
    settings = [setting for of_table in several for setting in of_table]
    sections = [*_batches(settings), *_prefixes(settings)]
    for of_table in several:
        sections += _choices([one for one in of_table if one.batches == "variable"])
    return "\n".join(["# Questions that need several tables\n", *sections]) if sections else None


def _batches(settings: Sequence[Measured]) -> Iterator[str]:
    found = {pair: {one.name: one for one in between_batches(settings, *pair)} for pair in BATCHES}
    found = {pair: by_name for pair, by_name in found.items() if by_name}
    if not found:
        return
    names = list(dict.fromkeys(name for by_name in found.values() for name in by_name))
    yield "## Batches\n"
    yield (
        "Area with one rule for batches minus that with another, in points up to the common end, "
        "with its 95 % interval over data sets. The picks of `random` do not depend on the "
        "batches: its differences are those of other models of the same picks.\n"
    )
    rows = [
        [f"**{name}**", *(_cell(by_name.get(name)) for by_name in found.values())] for name in names
    ]
    yield markdown_table(["", *(f"{one} - {other}" for one, other in found)], rows)


def _prefixes(settings: Sequence[Measured]) -> Iterator[str]:
    found = [between_contestants(settings, *pair, "50") for pair in FRESH]
    if any(found):
        yield "## Prefixes\n"
        yield (
            "Area of a strategy that knows the size of its batch minus that of the one whose "
            "prefixes are batches, in points, with batches of 50.\n"
        )
        rows = [[f"**{one.name}**", _cell(one)] for one in found if one]
        yield markdown_table(["", "points"], rows)


def _choices(settings: Sequence[Measured]) -> Iterator[str]:
    if not (found := choices(settings)):
        return
    yield "## Arguments\n"
    yield (
        "Arguments of the largest mean area on half A of the data sets; points of area ahead of "
        "the defaults there and on half B, where nothing was chosen.\n"
    )
    rows = [
        [f"**{one.strategy}**", f"`{one.chosen}`", _cell(one.on_a), _cell(one.on_b)]
        for one in found
    ]
    yield markdown_table(["", "chosen on A", "A", "B"], rows)


def _cell(found: Difference | None) -> str:
    if found is None:
        return ""
    return f"{in_points(found.mean, found.half_width)} ({found.data_sets})"


def main() -> None:
    """Parses the command line and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="tables of results")
    parser.add_argument("--out", type=Path, default=Path("questions.md"), help="the page")
    arguments = parser.parse_args()
    with one_line_errors():
        page = questions_page([stored(path) for path in arguments.tables])
        if page is None:
            raise BadgeError(
                "questions: expected tables with other batches or arguments, got none that answers "
                "a question; add the tables of linear_fixed or linear_choices"
            )
        with replacing(arguments.out) as temporary:
            temporary.write_text(page, encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()

"""Answers questions on batches, prefixes and arguments from tables of results.

``python scripts/compare/questions_page.py TABLE.parquet ... --out FILE.md`` needs the tables alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import pyarrow as pa

from compare.measured import BASELINE, in_points, settings_in
from compare.questions import (
    Choice,
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


@dataclass(frozen=True)
class Answers:
    """What tables answer beside which strategy to take.

    Attributes:
        batches: Differences between two rules for batches, by the rules and by contestant.
        prefixes: What a contestant gains that knows the size of its batch.
        arguments: The arguments of each strategy.
    """

    batches: Mapping[tuple[str, str], Mapping[str, Difference]]
    prefixes: Sequence[Difference]
    arguments: Sequence[Choice]


def answers_in(tables: Sequence[pa.Table]) -> Answers:
    """Returns what the tables answer; arguments are compared within one table."""
    several = [settings_in(table) for table in tables]
    settings = [setting for of_table in several for setting in of_table]
    batches = {
        pair: {one.name: one for one in between_batches(settings, *pair)} for pair in BATCHES
    }
    prefixes = [between_contestants(settings, *pair, "50") for pair in FRESH]
    return Answers(
        {pair: by_name for pair, by_name in batches.items() if by_name},
        [one for one in prefixes if one],
        [
            one
            for of_table in several
            for one in choices([setting for setting in of_table if setting.batches == "variable"])
        ],
    )


def sentences(answers: Answers) -> list[str]:
    """Returns the answers in sentences, whose numbers are in the tables; empty without any."""
    found = []
    for (one, other), by_name in answers.batches.items():
        differences = [by_name[name] for name in by_name if name != BASELINE]
        if not differences:
            continue
        least, most = (which(differences, key=lambda each: each.mean) for which in (min, max))
        what = (
            f"Batches of changing size instead of {other} a time"
            if one == "variable"
            else f"Ranking again every {one} labels instead of every {other}"
        )
        found.append(
            f"- {what}: from {_points(least)} to {_points(most)} points of area. Told apart from "
            f"0, by the 95 % intervals: {_list(filter(_is_told_apart, differences))}."
        )
    if answers.prefixes:
        found.append(
            "- A batch that is made for its size instead of the first ranks of an ordering, with "
            f"batches of 50: {', '.join(map(_points, answers.prefixes))}."
        )
    for choice in answers.arguments:
        if choice.chosen == choice.strategy:
            found.append(
                f"- `{choice.strategy}`: no other arguments did better on half A of the data sets."
            )
        else:
            on_a, on_b = choice.on_a[choice.chosen], choice.on_b[choice.chosen]
            found.append(
                f"- `{choice.strategy}`: of all arguments `{choice.chosen}` did best on half A of "
                f"the data sets, {_width(on_a)} points ahead of the defaults; on half B it is "
                f"{_width(on_b)}."
            )
    return found


def questions_page(answers: Answers) -> str | None:
    """Returns the page: a section for each question that is answered; None without any."""
    sections = [*_batches(answers), *_prefixes(answers), *_arguments(answers)]
    if not sections:
        return None
    head = "# Batch sizes, prefixes and arguments\n"
    return "\n".join([head, *sentences(answers), "", *sections])


def _batches(answers: Answers) -> Iterator[str]:
    found = answers.batches
    if not found:
        return
    names = list(dict.fromkeys(name for by_name in found.values() for name in by_name))
    yield "## Batches\n"
    yield (
        "Area with one rule for batches minus that with another, in points up to the common end, "
        "with its 95 % interval over data sets, whose number is in brackets. The picks of "
        "`random` do not depend on the batches: its differences are those of other models of the "
        "same picks.\n"
    )
    rows = [
        [f"**{name}**", *(_cell(by_name.get(name)) for by_name in found.values())] for name in names
    ]
    yield markdown_table(["", *(f"{one} - {other}" for one, other in found)], rows)


def _prefixes(answers: Answers) -> Iterator[str]:
    if answers.prefixes:
        yield "## Prefixes\n"
        yield (
            "Area of a strategy that knows the size of its batch minus that of the one whose "
            "prefixes are batches, in points, with batches of 50: what it costs that labelers may "
            "stop anywhere.\n"
        )
        rows = [[f"**{one.name}**", _cell(one)] for one in answers.prefixes]
        yield markdown_table(["", "points"], rows)


def _arguments(answers: Answers) -> Iterator[str]:
    if not answers.arguments:
        return
    yield "## Arguments\n"
    yield (
        "Points of area ahead of the strategy with its defaults, on half A of the data sets and on "
        "half B, with 95 % intervals over data sets. The best on A is chosen; on B nothing is.\n"
    )
    rows = [
        [
            f"**{name}**" if name == choice.chosen else name,
            "chosen" if name == choice.chosen else "",
            _cell(choice.on_a.get(name)),
            _cell(choice.on_b.get(name)),
        ]
        for choice in answers.arguments
        for name in (choice.strategy, *choice.on_a)
    ]
    yield markdown_table(["", "", "A", "B"], rows)


def _is_told_apart(one: Difference) -> bool:
    return abs(one.mean) > one.half_width


def _list(several: Iterable[Difference]) -> str:
    return ", ".join(map(_points, several)) or "none"


def _points(one: Difference) -> str:
    return f"`{one.name}` {_width(one)}"


def _width(one: Difference) -> str:
    return in_points(one.mean, one.half_width)


def _cell(found: Difference | None) -> str:
    if found is None:
        return ""
    return f"{_width(found)} ({found.data_sets})"


def main() -> None:
    """Parses the command line and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="tables of results")
    parser.add_argument("--out", type=Path, default=Path("questions.md"), help="the page")
    arguments = parser.parse_args()
    with one_line_errors():
        page = questions_page(answers_in([stored(path) for path in arguments.tables]))
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

"""What the published parts of the experiments answer: a section, and a cell for each strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from compare.evidence import Default, Effect, default_over, effects, standings
from compare.evidence_text import (
    ADVICE_EXPLAINED,
    advice_of,
    ahead_words,
    default_words,
    differ,
    in_short,
    unfinished,
    worth_in_short,
)
from compare.measured import BASELINE, in_points, settings_in
from compare.shared_work import cells_in
from lightning_badge.research.comparison.report import markdown_table

# The parts of the plan, and what each of them answers.
PARTS = {
    "linear_heads": "which strategy, with 20 random labels; forecasts; coverage as a stop",
    "linear_cold": "which strategy, without any label at the start",
    "linear_fixed": "what a variable batch costs; ranking again; prefixes",
    "linear_choices": "arguments of strategies",
    "mlp_heads": "which strategy for an MLP; `bald` and `batchbald`",
    "small_cnn": "which strategy for a CNN from scratch",
}
# Those that advise, with the headings of their advice.
ADVISING = {
    "linear_heads": "Fixed features and a linear head, 20 random labels at the start",
    "linear_cold": "Fixed features and a linear head, no label at the start",
    "mlp_heads": "An MLP trained afresh in each round, 20 random labels at the start",
    "small_cnn": "A CNN trained afresh in each round, 20 random labels at the start",
}
# Those of the column in docs/strategies.md, in few words.
IN_COLUMN = {
    "linear_heads": "linear head",
    "linear_cold": "cold start",
    "mlp_heads": "MLP",
    "small_cnn": "CNN",
}
DETAILED = "linear_heads"  # with the most data sets
QUESTIONS = "questions"


def section_of(
    tables: Mapping[str, pa.Table], default: Default | None, answers: Sequence[str]
) -> str:
    """Returns the section of results.

    Args:
        tables: The published tables by part.
        default: The default of ``data=folder`` by the rules.
        answers: The sentences of the page of questions; empty without that page.
    """
    parts = list(_section(tables, default)) if tables else []
    if not tables:
        parts.append("No part is finished. Until one is, the earlier results below are all.\n")
    if DETAILED in tables and (worth := list(worth_in_short(tables[DETAILED]))):
        parts.append("### Is it worth going on?\n")
        parts += worth
        parts.append("")
    if answers:
        parts.append("### Batches, prefixes and arguments\n")
        parts += answers
        parts.append(f"\nThe tables: [questions](experiments/{QUESTIONS}.md).\n")
    parts.append("### All parts\n")
    parts.append(_parts_table(tables))
    pages = [*(part for part in PARTS if part in tables), *([QUESTIONS] if answers else [])]
    if pages:
        listed = "\n".join(f"experiments/{page}" for page in pages)
        parts.append(f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n")
    return "\n".join(parts)


def _section(tables: Mapping[str, pa.Table], default: Default | None) -> Iterator[str]:
    yield default_sentence(tables, default)
    yield f"How to read the tables. {ADVICE_EXPLAINED}"
    for part, heading in ADVISING.items():
        if part in tables:
            settings = settings_in(tables[part])
            yield f"### {heading}\n"
            yield from unfinished(tables[part])
            yield from in_short(standings(settings), effects(settings), differ(settings))
            yield advice_of(settings)
            yield f"The other tables, and pictures: [{part}](experiments/{part}.md).\n"


def _parts_table(tables: Mapping[str, pa.Table]) -> str:
    rows = []
    for part, answers in PARTS.items():
        if part in tables:
            counted = cells_in(tables[part])
            page = f"[tables and pictures](experiments/{part}.md)"
            rows.append([f"`{part}`", answers, str(counted), f"{counted.hours:.1f}", page])
        else:
            rows.append([f"`{part}`", answers, "not measured yet", "", ""])
    return markdown_table(["part", "answers", "cells", "hours of one process", "results"], rows)


def column_of(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """Returns where each strategy helped, by name, in few words."""
    words: dict[str, list[str]] = {}
    for part, model in IN_COLUMN.items():
        if part in tables:
            is_partial = not cells_in(tables[part]).are_all
            for effect in effects(settings_in(tables[part])):
                said = f"{model}{' (not finished)' if is_partial else ''}: {ahead_words(effect)}"
                if part == DETAILED and not effect.are_few:
                    said += _extremes(effect)
                words.setdefault(effect.name, []).append(said)
    cells = {name: "; ".join(several) for name, several in words.items()}
    return cells | {BASELINE: "the baseline"}


def _extremes(effect: Effect) -> str:
    return (
        f", from {in_points(*effect.worst_ahead)} ({effect.worst.data}) "
        f"to {in_points(*effect.best_ahead)} ({effect.best.data})"
    )


def default_sentence(tables: Mapping[str, pa.Table], default: Default | None) -> str:
    """Returns what the default of ``data=folder`` is by the rules, over the published parts."""
    return default_words(default, f"over all parts{' so far' if PARTS.keys() - tables else ''}")


def default_of_all(tables: Mapping[str, pa.Table]) -> Default | None:
    """Returns the default of ``data=folder`` by the rules; None before there is one."""
    return default_over(list(tables.values())) if tables else None

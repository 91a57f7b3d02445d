"""Prints the facts of a run: for people, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lightning_badge.app.status.agreement import Agreement
from lightning_badge.app.status.facts import RunFacts, TimeFacts, run_facts
from lightning_badge.app.status.run_files import read_run
from lightning_badge.durable.snapshot import snapshot
from lightning_badge.exceptions import LabelError
from lightning_badge.outlook import in_words
from lightning_badge.store.run_directory import RunDirectory

_BARS = "▁▂▃▄▅▆▇█"
_MOST_CLASSES = 20


def run(run_dir: Path, *, as_json: bool, samples: int, backup: Path | None) -> None:
    """Prints the state of a run, or copies its label store.

    Args:
        run_dir: The run directory.
        as_json: Whether to print JSON.
        samples: Most samples to list that come next.
        backup: Where to copy the label store; None copies nothing.
    """
    facts = run_facts(read_run(run_dir), datetime.now(timezone.utc), samples=samples)
    if backup is not None:
        _back_up(run_dir, backup)
    if as_json:
        print(json.dumps(dataclasses.asdict(facts), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(shown(facts))
    if backup is not None:
        for line in _backed_up(run_dir, backup):
            console.print(line, markup=False, soft_wrap=True)


def shown(facts: RunFacts) -> RenderableType:
    """Returns the facts as tables and lines."""
    parts: list[RenderableType] = [Text(facts.run_dir, style="dim", no_wrap=True)]
    if facts.rounds:
        parts += [_rounds(facts), *_curve(facts)]
    parts.append(_labels(facts))
    if facts.annotators:
        parts.append(_annotators(facts))
    if facts.agreement:
        parts.append(Text(_agreement(facts.agreement)))
    if facts.leases:
        longest = _duration(max(lease.seconds_left for lease in facts.leases))
        parts.append(Text(f"leases: {len(facts.leases)} out, the last one ends in {longest}"))
    if facts.time:
        parts.append(Text(_times(facts.time)))
    if facts.remains:
        parts.append(Text(f"budget: {facts.remains}"))
    if facts.changes:
        parts.append(_changes(facts))
    if facts.next_samples:
        parts.append(_next(facts))
    parts.append(Text(f"next: {facts.next_step}", style="green"))
    return Group(*parts)


def spark_line(values: list[float]) -> str:
    """Returns a bar for each value, from the lowest to the highest.

    Example:
        >>> spark_line([0.0, 0.5, 1.0])
        '▁▅█'
    """
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / width * (len(_BARS) - 1))] for value in values)


def _rounds(facts: RunFacts) -> Table:
    before = ("round", "trained on", "pool", "asked", "came", "skipped")
    table = _table(*before, facts.metric, "change", "seconds")
    for row in facts.rounds:
        table.add_row(
            f"{row.round:03d}",
            f"{row.labeled:,}",
            f"{row.pool:,}",
            "-" if row.asked is None else f"{row.asked:,}",
            f"{row.labels:,}",
            f"{row.skips:,}",
            "-" if row.value is None else f"{row.value:.4f}",
            "-" if row.change is None else f"{row.change:+.4f}",
            "-" if row.seconds is None else f"{row.seconds:.1f}",
        )
    return table


def _curve(facts: RunFacts) -> list[RenderableType]:
    measured = [row for row in facts.rounds if row.value is not None]
    if len(measured) < 2:
        return []
    values = [row.value for row in measured if row.value is not None]
    last, before = measured[-1], measured[-2]
    curve = (
        f"{facts.metric}: {spark_line(values)}  from {values[0]:.4f} with "
        f"{measured[0].labeled:,} labels to {values[-1]:.4f} with {last.labeled:,}"
    )
    found = facts.outlook
    if found is None or found.brought is None:
        brought = last.labeled - before.labeled
        curve += f"; the last {brought:,} labels brought {last.change or 0.0:+.4f}"
    return [Text(curve), *([] if found is None else [Text(in_words(found))])]


def _labels(facts: RunFacts) -> RenderableType:
    initial = "" if facts.initial_labels is None else f", and {facts.initial_labels:,} initial ones"
    models = f" ({facts.labels_of_models:,} from models)" if facts.labels_of_models else ""
    lines = [f"{facts.labels:,} labels from annotators{models}{initial}; {facts.skipped:,} skipped"]
    if facts.by_class:
        first = list(facts.by_class.items())[:_MOST_CLASSES]
        more = len(facts.by_class) - len(first)
        lines.append(
            "by class: "
            + ", ".join(f"{name} {count:,}" for name, count in first)
            + (f", and {more} more classes" if more else "")
        )
    return Text("\n".join(lines))


def _annotators(facts: RunFacts) -> Table:
    table = _table("annotator", "labels", "skips", "s an answer", "labels an hour", left=1)
    for row in facts.annotators:
        table.add_row(
            escape(row.annotator),
            f"{row.labels:,}",
            f"{row.skips:,}",
            "-" if row.median_s is None else f"{row.median_s:.1f}",
            "-" if row.per_hour is None else f"{row.per_hour:,.0f}",
        )
    return table


def _changes(facts: RunFacts) -> Table:
    table = _table("change", "by", "of", "what")
    for column in table.columns:
        column.justify = "left"
    for row in facts.changes:
        table.add_row(row.when, escape(row.who), row.kind, escape(row.what))
    return table


def _agreement(agreement: Agreement) -> str:
    of = f"{agreement.pairs:,} pairs of labels of {agreement.samples:,} samples"
    alpha = agreement.alpha
    measured = "" if alpha is None else f"; Krippendorff's alpha {alpha:.2f}"
    return f"agreement: {agreement.share:.0%} of {of}{measured}"


def _times(time: TimeFacts) -> str:
    trainer = "not known" if time.trainer_idle_s is None else _duration(time.trainer_idle_s)
    per_hour = time.labels_per_hour
    rate = "" if per_hour is None else f"; {per_hour:,.0f} labels an hour of work"
    return (
        f"of {_duration(time.span_s)}: trainer idle {trainer}, labelers idle "
        f"{_duration(time.labelers_idle_s)}{rate}"
    )


def _next(facts: RunFacts) -> Table:
    table = _table("rank", "sample", "guess", "confidence", left=2)
    table.title = f"next of {facts.to_label or 0:,} samples"
    table.title_justify = "left"
    for row in facts.next_samples:
        table.add_row(
            str(row.rank),
            escape(str(row.sample_id)),
            "-" if row.guess is None else escape(row.guess),
            "-" if row.confidence is None else f"{row.confidence:.2f}",
        )
    return table


def _table(*columns: str, left: int = 0) -> Table:
    """Returns a table without lines; ``left`` is the number of the left-aligned text column."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns, start=1):
        table.add_column(escape(column), justify="left" if number == left else "right")
    return table


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds)))


def _backed_up(run_dir: Path, backup: Path) -> list[str]:
    """Returns what was copied, and what belongs to a backup beside it."""
    path = RunDirectory(run_dir).path
    return [
        f"label store copied to {backup}",
        f"with it belong {path / 'config.yaml'} and {path / 'rounds'}, whose files are whole at "
        f"any moment; to restore, put the copy in place of {path / 'labels.db'}, and remove "
        "labels.db-wal and labels.db-shm there",
    ]


def _back_up(run_dir: Path, backup: Path) -> None:
    store = RunDirectory(run_dir).labels_path
    if backup.exists() and (backup.is_dir() or backup.samefile(store)):
        raise LabelError(f"--backup: expected a new file, got {backup}; choose another path")
    snapshot(store, backup, error=LabelError)

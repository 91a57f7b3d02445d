"""The output of a comparison: a table, two pictures and a report."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from omegaconf import DictConfig

from compare.cells import Cell
from lightning_badge.durable.file import replacing
from lightning_badge.research.comparison import (
    Setting,
    mean_interval,
    penalty_matrix,
    report,
    settings_of,
)
from lightning_badge.research.viz.comparison import Band, draw_comparison, draw_penalty_matrix

_NUMBERS = {"round": int, "labels": int}


def rows_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Returns the learning curves of finished cells, one row per round."""
    rows = []
    for cell in cells:
        identity = {"strategy": cell.strategy, "budget": cell.budget, "seed": cell.seed}
        path = cell.run_directory.learning_curve_csv_path
        with path.open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines):
                values = {
                    key: _NUMBERS.get(key, float)(text) if text else None
                    for key, text in line.items()
                }
                rows.append(identity | values)
    return rows


def write_table(rows: Sequence[dict[str, Any]], out_dir: Path) -> None:
    """Writes ``results.parquet`` and ``results.csv``."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pa.table({key: [row.get(key) for row in rows] for key in columns})
    with replacing(out_dir / "results.parquet") as temporary:
        pq.write_table(table, temporary)
    with replacing(out_dir / "results.csv") as temporary:
        pyarrow.csv.write_csv(table, temporary)


def write_report(rows: Sequence[dict[str, Any]], config: DictConfig, out_dir: Path) -> None:
    """Writes two pictures and ``report.md``, which shows them."""
    settings = settings_of(rows, metric=config.metric, contestants=config.contestants)
    penalty = penalty_matrix(settings, config.confidence, baseline=config.baseline)
    words = config.metric.removeprefix("val/").replace("_", " ")
    figures = {
        "learning_curves.png": draw_comparison(
            {setting.name: bands_of(setting) for setting in settings},
            metric=words,
            baseline=config.baseline,
        ),
        "penalty_matrix.png": draw_penalty_matrix(
            list(settings[0].curves), penalty, settings=len(settings)
        ),
    }
    for name, figure in figures.items():
        with replacing(out_dir / name) as temporary:
            figure.savefig(temporary, format="png")
    text = report(
        out_dir.name,
        settings,
        metric=words,
        targets=list(config.targets),
        baseline=config.baseline,
        confidence=config.confidence,
    )
    with replacing(out_dir / "report.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def bands_of(setting: Setting) -> dict[str, Band]:
    """Returns the mean curve of each contestant with its 95 % interval."""
    labels = setting.common_labels()
    return {
        name: Band(labels, *mean_interval(values)) for name, values in setting.at(labels).items()
    }

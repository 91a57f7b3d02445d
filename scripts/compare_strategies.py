"""Compares strategies or budgets over several seeds at equal numbers of labels.

``python scripts/compare_strategies.py experiment=digits_strategies`` runs the comparison configured
by ``configs/compare_strategies.yaml``. If it is interrupted, the same command continues it. An
experiment with a ``plan``, such as ``linear_heads``, runs the cells of docs/experiments.md instead
of whole loops.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
from compare.cells import Cell, cells_of, run_cells
from compare.evidence_page import write_evidence
from compare.plan import planned_cells
from compare.planned import check_again, run_plan
from compare.results import rows_of, write_report, write_table
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison import settings_of
from lightning_badge.research.comparison.statistics import t_quantile


@hydra.main(version_base="1.3", config_path="../configs", config_name="compare_strategies")
@one_line_errors()
def main(config: DictConfig) -> None:
    """Runs the unfinished cells, then writes table, pictures and report."""
    out_dir = Path(config.out_dir or default_out_dir(config))
    if config.plan is not None:
        follow_plan(config, out_dir)
        return
    cells = cells_of(config, out_dir)
    check(config, cells)
    failed = run_missing(cells, config.jobs)
    rows = rows_of([cell for cell in cells if cell not in failed])
    if rows:
        write_table(rows, out_dir)
    if failed:
        raise BadgeError(
            f"{len(failed)} of {len(cells)} runs failed, so no report was written; the same "
            "command runs only the failed ones again"
        )
    write_report(rows, config, out_dir)
    print(out_dir / "report.md")


def follow_plan(config: DictConfig, out_dir: Path) -> None:
    """Computes the cells of a plan that are not finished; checks some of the others."""
    check_jobs(config)
    cells = planned_cells(config)
    folder = Path(config.plan.folder) if config.plan.folder else None
    table = run_plan(cells, out_dir, folder, config.jobs)
    check_again(cells, table, folder, config.recompute)
    print(write_evidence(table, out_dir, default_name()))


def check(config: DictConfig, cells: Sequence[Cell]) -> None:
    """Raises early the errors that would otherwise occur in every run or in the final report."""
    t_quantile(len(config.seeds), config.confidence)
    settings_of([], metric=config.metric, contestants=config.contestants)
    check_jobs(config)
    for cell in cells:
        if cell.seed == cells[0].seed:
            _ = cell.config


def check_jobs(config: DictConfig) -> None:
    """Raises an error if the number of processes is none."""
    if not isinstance(config.jobs, int) or config.jobs < 1:
        raise BadgeError(f"jobs: expected a positive integer, got {config.jobs}")


def default_out_dir(config: DictConfig) -> Path:
    """Returns a folder named after the experiment, or after data and model."""
    return Path(config.paths.runs, f"compare-{default_name()}")


def default_name() -> str:
    """Returns the name of the experiment, or of data and model."""
    choices: Any = HydraConfig.get().runtime.choices
    return str(choices.experiment or f"{choices.data}-{choices.model}")


def run_missing(cells: Sequence[Cell], jobs: int) -> list[Cell]:
    """Runs the cells that are not finished, and returns those that failed."""
    missing = [cell for cell in cells if not cell.is_finished()]
    print(f"{len(cells)} runs, {len(cells) - len(missing)} already finished", flush=True)
    failed = []
    for number, (cell, why_failed) in enumerate(run_cells(missing, jobs), 1):
        if why_failed is None:
            print(f"{number}/{len(missing)}  {cell.name}", flush=True)
        else:
            failed.append(cell)
            print(f"failed: {cell.name}: {why_failed} ({cell.log})", file=sys.stderr)
    return failed


if __name__ == "__main__":
    run(main)

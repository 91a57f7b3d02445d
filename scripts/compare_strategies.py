"""Compares strategies or budgets over several seeds at equal numbers of labels.

``python scripts/compare_strategies.py experiment=digits_strategies`` runs the comparison configured
by ``configs/compare_strategies.yaml``. If it is interrupted, the same command continues it. An
experiment with a ``plan``, such as ``linear_heads``, runs the cells of docs/experiments.md instead
of whole loops.
"""

from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
from compare.cells import cells_of, check, run_missing
from compare.planned import follow_plan
from compare.results import rows_of, write_report, write_table
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_badge.exceptions import BadgeError


@hydra.main(version_base="1.3", config_path="../configs", config_name="compare_strategies")
@one_line_errors()
def main(config: DictConfig) -> None:
    """Runs the unfinished cells, then writes table, pictures and report."""
    name = default_name()
    out_dir = Path(config.out_dir or Path(config.paths.runs, f"compare-{name}"))
    if config.plan is not None:
        follow_plan(config, out_dir, name)
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


def default_name() -> str:
    """Returns the name of the experiment, or of data and model."""
    choices: Any = HydraConfig.get().runtime.choices
    return str(choices.experiment or f"{choices.data}-{choices.model}")


if __name__ == "__main__":
    run(main)

"""Runs the cells of an experiment's plan in processes with one thread each."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from omegaconf import DictConfig

from compare.cells import check_jobs, end_with_parent
from compare.data_sets import load_task
from compare.evidence import default_over
from compare.evidence_page import write_evidence
from compare.evidence_text import default_words
from compare.plan import PlannedCell, planned_cells
from compare.shared_work import Results, Rows, as_table, stored, work
from compare.simulate import run_cell
from lightning_badge.exceptions import BadgeError

# Read when the processes of the cells import torch and numba.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def follow_plan(config: DictConfig, out_dir: Path, name: str) -> None:
    """Computes the cells of a plan that are not finished; checks some of the others.

    Args:
        config: Configuration of the experiment.
        out_dir: Where its table, page and pictures are.
        name: Of the experiment.
    """
    check_jobs(config)
    cells = planned_cells(config)
    folder = Path(config.plan.folder) if config.plan.folder else None
    if known := config.plan.get("known"):
        Results(out_dir).take_over(stored(Path(known)), cells)
    table = run_plan(cells, out_dir, folder, config.jobs)
    check_again(cells, table, folder, config.recompute)
    print(default_words(default_over([table]), "over this part alone").strip())
    print(write_evidence(table, out_dir, name))


def run_plan(
    cells: Sequence[PlannedCell], out_dir: Path, folder: Path | None, jobs: int
) -> pa.Table:
    """Computes the cells that are not finished, and returns the rows of all of them.

    The same command may run several times at once: each cell is computed by one process.

    Args:
        cells: The cells of the plan.
        out_dir: Where their rows are stored.
        folder: See `load_task`.
        jobs: Number of processes.

    Raises:
        BadgeError: Cells that failed, or that another command is computing.
    """
    results = Results(out_dir)
    missing = [cell for cell in cells if not results.is_finished(cell)]
    print(f"{len(cells)} cells, {len(cells) - len(missing)} already finished", flush=True)
    if missing:
        _in_processes(missing, out_dir, folder, jobs)
    table = results.merge()
    missing = [cell for cell in cells if not results.is_finished(cell)]
    if missing:
        raise BadgeError(
            f"{len(missing)} of {len(cells)} cells are not finished: they failed, or another "
            "command is computing them; the same command runs only these"
        )
    return rows_of(table, cells)


def rows_of(table: pa.Table, cells: Sequence[PlannedCell]) -> pa.Table:
    """Returns the rows of some cells."""
    return table.filter(pc.is_in(table["cell"], pa.array([cell.key for cell in cells])))


def check_again(
    cells: Sequence[PlannedCell], table: pa.Table, folder: Path | None, number: int
) -> None:
    """Computes some cells again and compares their rows with the stored ones.

    Args:
        cells: Finished cells.
        table: Their rows.
        folder: See `load_task`.
        number: Number of cells to draw.

    Raises:
        BadgeError: A cell whose rows differ.
    """
    compute = computing(folder)
    drawn = np.random.default_rng().permutation(len(cells))[:number]
    for cell in [cells[place] for place in drawn]:
        if not have_equal_rows(as_table(cell, compute(cell)), rows_of(table, [cell])):
            raise BadgeError(
                f"{cell.name}: computed again, its rows differ from the stored ones; other "
                "versions of torch, NumPy or scikit-learn, or another processor, may be the cause"
            )
        print(f"the same again: {cell.name}", flush=True)


def computing(folder: Path | None) -> Callable[[PlannedCell], Rows]:
    """Returns a function that computes cells; it keeps the data sets in memory."""
    task_of = cache(lambda name: load_task(name, folder))
    torch.set_num_threads(1)
    return lambda cell: run_cell(cell, task_of(cell.data))


def have_equal_rows(one: pa.Table, other: pa.Table) -> bool:
    """Returns whether two tables are equal but for the seconds; NaN equals NaN."""
    first, second = (repr(table.drop_columns("seconds").to_pylist()) for table in (one, other))
    return first == second


def _in_processes(
    cells: Sequence[PlannedCell], out_dir: Path, folder: Path | None, jobs: int
) -> None:
    os.environ.update(ONE_THREAD)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(cells, out_dir, folder)) for _ in range(jobs)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(cells: Sequence[PlannedCell], out_dir: Path, folder: Path | None) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    for cell, failed in work(cells, Results(out_dir), computing(folder)):
        if failed is None:
            print(cell.name, flush=True)
        else:
            print(f"failed: {cell.name}: {failed}", file=sys.stderr, flush=True)

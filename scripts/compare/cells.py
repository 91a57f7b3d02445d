"""The cells of a comparison: runs of ``al_loop.py``, each in its own process and folder."""

import json
import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_badge import RunDirectory
from lightning_badge.durable.file import replacing
from lightning_badge.encoders.precomputed import SUFFIXES
from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison import settings_of
from lightning_badge.research.comparison.statistics import t_quantile
from lightning_badge.stopping import TERMINATED

AL_LOOP = Path(__file__).parents[1] / "al_loop.py"
# Settings that differ between cells, and the key of the comparison that sets them.
TAKEN = {"strategy": "strategies", "seed": "seeds", "run_dir": "out_dir"}
# Imported once by the fork server, so that cells start faster.
PRELOADED = ["lightning_badge", "torchmetrics.classification", "hydra", "matplotlib.figure"]


@dataclass(frozen=True)
class Cell:
    """One strategy with one budget and one seed.

    ``settings`` are the overrides that all cells share, followed by those of the budget.
    """

    strategy: str
    budget: str
    seed: int
    settings: tuple[str, ...]
    out_dir: Path

    @property
    def name(self) -> str:
        """Its name, unique in the comparison."""
        return f"{self.strategy}-{self.budget}-seed{self.seed}"

    @property
    def run_directory(self) -> RunDirectory:
        """The run directory of the cell."""
        return RunDirectory(self.out_dir / "runs" / self.name)

    @property
    def log(self) -> Path:
        """The file with the output of its process."""
        return self.out_dir / "logs" / f"{self.name}.log"

    @property
    def overrides(self) -> list[str]:
        """Its command-line arguments."""
        own = f"strategy={self.strategy}", f"seed={self.seed}"
        return [*self.settings, *own, f'run_dir="{self.run_directory.path}"']

    @cached_property
    def config(self) -> Any:
        """Its composed configuration; raises Hydra's error if it cannot be composed."""
        return OmegaConf.to_container(compose("al_loop", self.overrides))

    def is_finished(self) -> bool:
        """Returns whether the cell was finished with this configuration."""
        path = self._finished_path
        return path.exists() and json.loads(path.read_text(encoding="utf-8")) == self.config

    def finish(self) -> None:
        """Marks the cell as finished with this configuration."""
        with replacing(self._finished_path) as temporary:
            temporary.write_text(json.dumps(self.config), encoding="utf-8")

    def last_line(self) -> str:
        """Returns the last line that its process printed: the error message of a failed run."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "no output")

    @property
    def _finished_path(self) -> Path:
        return self.run_directory.path / "finished.json"


def cells_of(config: DictConfig, out_dir: Path) -> list[Cell]:
    """Returns the cells of a comparison, one seed after the other.

    Args:
        config: Configuration of the comparison; command-line overrides of keys that belong to
            ``al_loop.yaml`` are passed on to all cells.
        out_dir: Folder of the comparison.

    Raises:
        BadgeError: An override sets a key that differs between cells, or ``strategies`` or
            ``seeds`` is empty or has repeated entries.
    """
    own = OmegaConf.load(AL_LOOP.parents[1] / "configs" / "compare_strategies.yaml")
    hydra: Any = HydraConfig.get()  # a DictConfig, although annotated as the dataclass HydraConf
    taken = TAKEN | ({"budget": "budgets"} if config.budgets else {})
    shared = []
    # Interpolations stay unresolved, so that each run resolves them with its own values.
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition(".")[0]
        if key in taken:
            raise BadgeError(f"{override}: differs between runs; set {taken[key]}= instead")
        if key not in own:
            shared.append(override)
    for name in ("strategies", "seeds"):
        given = list(config[name])
        if not given or len(set(given)) < len(given):
            raise BadgeError(f"{name}: expected at least one and no repetitions, got {given}")
    budgets: Any = OmegaConf.to_container(config.budgets, resolve=False)
    budgets = budgets or {hydra.runtime.choices.budget: []}
    return [
        Cell(strategy, budget, seed, (*shared, *settings), out_dir.resolve())
        for seed, (budget, settings), strategy in product(
            config.seeds, budgets.items(), config.strategies
        )
    ]


def check(config: DictConfig, cells: Sequence[Cell]) -> None:
    """Raises early the errors that would otherwise occur in every run or in the final report."""
    t_quantile(len(config.seeds), config.confidence)
    settings_of([], metric=config.metric, contestants=config.contestants)
    check_jobs(config)
    for cell in cells:
        if cell.seed == cells[0].seed:
            _ = cell.config
    encoder = cells[0].config["encoder"]
    if isinstance(encoder, str) and not encoder.endswith(SUFFIXES):
        print(
            f"each of the {len(cells)} runs embeds all samples by {encoder}; to embed them once, "
            "write their features into a file and set encoder=rows.npy (docs/encoders.md)",
            file=sys.stderr,
        )


def check_jobs(config: DictConfig) -> None:
    """Raises an error if the number of processes is none."""
    if not isinstance(config.jobs, int) or config.jobs < 1:
        raise BadgeError(f"jobs: expected a positive integer, got {config.jobs}")


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


def run_cells(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, str | None]]:
    """Runs cells, ``jobs`` at a time.

    When this process ends, even after a crash, the processes of the cells end too.

    Yields:
        Each cell when its process ends, with the reason if it failed, None if it finished.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the fork server below imports torch
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting = list(reversed(cells))
    running: dict[Any, tuple[Cell, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop()
                process = context.Process(target=_run, args=(cell.overrides, cell.log))
                process.start()
                running[process.sentinel] = cell, process
            for sentinel in wait(list(running)):
                cell, process = running.pop(sentinel)
                process.join()
                yield cell, _end(cell, process.exitcode)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _end(cell: Cell, exitcode: int) -> str | None:
    if exitcode == 0:
        cell.finish()
        return None
    return f"ended by signal {-exitcode}" if exitcode < 0 else cell.last_line()


def _run(overrides: Sequence[str], log: Path) -> None:
    """Runs ``scripts/al_loop.py`` as the main script of a process with preloaded imports."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as lines:
        for stream in (1, 2):
            os.dup2(lines.fileno(), stream)
    sys.argv = [str(AL_LOOP), *overrides]
    sys.path.insert(0, str(AL_LOOP.parent))
    runpy.run_path(str(AL_LOOP), run_name="__main__")


def end_with_parent() -> None:
    """Ends this process when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(TERMINATED)

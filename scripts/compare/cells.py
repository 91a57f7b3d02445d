"""The cells of a comparison: runs of ``al_loop.py``, each in a process and a folder of its own."""

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

from lightning_badge.app.command_line import STOPPED

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_badge import RunDirectory
from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError

AL_LOOP = Path(__file__).parents[1] / "al_loop.py"
# What a cell sets itself, and what sets it for all of them.
TAKEN = {"strategy": "strategies", "seed": "seeds", "run_dir": "out_dir"}
# Imported once; every cell starts from there.
PRELOADED = ["lightning_badge", "torchmetrics.classification", "hydra", "matplotlib.figure"]


@dataclass(frozen=True)
class Cell:
    """One strategy with one budget and one seed; ``settings`` are those of all, and the budget."""

    strategy: str
    budget: str
    seed: int
    settings: tuple[str, ...]
    out_dir: Path

    @property
    def name(self) -> str:
        """What it is called among the others."""
        return f"{self.strategy}-{self.budget}-seed{self.seed}"

    @property
    def run_directory(self) -> RunDirectory:
        """Where its run is."""
        return RunDirectory(self.out_dir / "runs" / self.name)

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self.out_dir / "logs" / f"{self.name}.log"

    @property
    def overrides(self) -> list[str]:
        """Its command line."""
        own = f"strategy={self.strategy}", f"seed={self.seed}"
        return [*self.settings, *own, f'run_dir="{self.run_directory.path}"']

    @cached_property
    def config(self) -> Any:
        """Its configuration, which fails here where it cannot be composed."""
        return OmegaConf.to_container(compose("al_loop", self.overrides))

    def is_finished(self) -> bool:
        """Whether an earlier process brought it to its end, with this configuration."""
        path = self._finished_path
        return path.exists() and json.loads(path.read_text(encoding="utf-8")) == self.config

    def finish(self) -> None:
        """Notes that it came to its end."""
        with replacing(self._finished_path) as temporary:
            temporary.write_text(json.dumps(self.config), encoding="utf-8")

    def last_words(self) -> str:
        """Returns the last line that its process printed: the error, where it failed."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "no word")

    @property
    def _finished_path(self) -> Path:
        return self.run_directory.path / "finished.json"


def cells_of(config: DictConfig, out_dir: Path) -> list[Cell]:
    """Returns the cells of a comparison, one seed after the other.

    Args:
        config: Of the comparison; what its command line sets beside its own keys goes to all cells.
        out_dir: Where they go.

    Raises:
        BadgeError: A key that every cell sets for itself, or a choice that is missing or repeated.
    """
    own = OmegaConf.load(AL_LOOP.parents[1] / "configs" / "compare_strategies.yaml")
    hydra: Any = HydraConfig.get()  # OmegaConf's, which reads like the dataclass but is none
    taken = TAKEN | ({"budget": "budgets"} if config.budgets else {})
    shared = []
    # Unresolved: what refers to another value is to find that of its own run.
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition(".")[0]
        if key in taken:
            raise BadgeError(f"{override}: each run has its own; set {taken[key]}= instead")
        if key not in own:
            shared.append(override)
    for name in ("strategies", "seeds"):
        given = list(config[name])
        if not given or len(set(given)) < len(given):
            raise BadgeError(f"{name}: expected one or more, each once, got {given}")
    budgets: Any = OmegaConf.to_container(config.budgets, resolve=False)
    budgets = budgets or {hydra.runtime.choices.budget: []}
    return [
        Cell(strategy, budget, seed, (*shared, *settings), out_dir.resolve())
        for seed, (budget, settings), strategy in product(
            config.seeds, budgets.items(), config.strategies
        )
    ]


def run_cells(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, str | None]]:
    """Runs cells, ``jobs`` at a time.

    The process that does so, however it ends, takes the processes of the cells with it.

    Yields:
        Each cell when it ends, and why it failed; None where it came to its end.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, by the server below
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
    return f"ended by signal {-exitcode}" if exitcode < 0 else cell.last_words()


def _run(overrides: Sequence[str], log: Path) -> None:
    """Is ``python scripts/al_loop.py`` in a process that has imported most of it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as lines:
        for stream in (1, 2):
            os.dup2(lines.fileno(), stream)
    sys.argv = [str(AL_LOOP), *overrides]
    sys.path.insert(0, str(AL_LOOP.parent))
    runpy.run_path(str(AL_LOOP), run_name="__main__")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(STOPPED)

"""A callback that sends its own process a signal in one phase of a run.

As a program, ``signalled.py PHASE NUMBER MARK ARGUMENTS...`` is ``lightning-badge ARGUMENTS...``,
which sends itself the signal.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

import lightning_badge.callback.badge as badge
import lightning_badge.callback.pool_ordering as pool_ordering
import lightning_badge.capture.pool as pool
from lightning_badge.durable.database import Database
from lightning_badge.store.run_directory import RunDirectory

# The package has a function of this name.
order_files = import_module("lightning_badge.order_files")
# Where a phase is entered that no callback sees: the owner of a function, and its name.
FUNCTIONS: dict[str, tuple[Any, str]] = {
    "pool pass": (pool, "run_batch"),
    "ordering": (pool_ordering, "order"),
    "ordering file": (badge, "write_ordering"),
    "metrics file": (RunDirectory, "write_metrics"),
    "transaction": (Database, "write"),
    "ordering of files": (order_files, "order"),
}
PHASES = ("training", "validation", "last validation batch", *FUNCTIONS)


class Signalled(Callback):
    """Sends the signal once, and makes a file first: a resumed run is left alone.

    Args:
        phase: One of `PHASES`.
        number: The signal.
        mark: The file.
        rank: The process of several ones that sends it.
        group: Whether all processes of the terminal get it, as after Ctrl-C.
        undo: Is given a function that undoes what was changed; None in a process that ends.
    """

    has_begun = False  # a Trainer of this process runs; the callback may be another one's

    def __init__(
        self,
        phase: str,
        number: int,
        mark: str,
        undo: Callable[[Any], None] | None = None,
        *,
        rank: int = 0,
        group: bool = False,
    ) -> None:
        self.phase, self.number, self.mark = phase, number, Path(mark)
        self.rank, self.group = rank, group
        if phase not in PHASES:
            raise ValueError(phase)
        if phase in FUNCTIONS:
            owner, name = FUNCTIONS[phase]
            original = getattr(owner, name)

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                if Signalled.has_begun:
                    self.send()
                return result

            if not hasattr(original, "is_signalled"):
                wrapped.is_signalled = True  # type: ignore[attr-defined]
                setattr(owner, name, wrapped)
                if undo:
                    undo(lambda: setattr(owner, name, original))

    def send(self) -> None:
        if self.mark.exists() or int(os.environ.get("LOCAL_RANK", "0")) != self.rank:
            return
        self.mark.touch()
        if self.group:
            os.killpg(0, self.number)
        else:
            os.kill(os.getpid(), self.number)

    def on_train_start(self, *_: Any) -> None:
        Signalled.has_begun = True

    def on_validation_start(self, trainer: Any, *_: Any) -> None:
        Signalled.has_begun = Signalled.has_begun or not trainer.sanity_checking

    def on_train_batch_end(self, *_: Any) -> None:
        if self.phase == "training":
            self.send()

    def on_validation_batch_end(
        self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        is_last = batch_idx + 1 == trainer.num_val_batches[0]
        if self.phase == ("last validation batch" if is_last else "validation"):
            self.send()


if __name__ == "__main__":
    from lightning_badge.app.main import main

    phase, number, mark, *arguments = sys.argv[1:]
    Signalled(phase, int(number), mark)
    Signalled.has_begun = True
    main(arguments)

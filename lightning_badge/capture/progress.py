"""Progress bars for work on the pool, in the style of the bars that the Trainer shows."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_badge.namespaces import lightning_classes
from lightning_badge.progress import progress_bar
from lightning_badge.stopping import check_stop


@contextmanager
def pool_progress(
    trainer: Trainer, total: float | None, description: str = "Pool"
) -> Iterator[Callable[[int], None]]:
    """Shows the progress of work on the pool together with the bars of the Trainer.

    After SIGTERM, of which a Trainer only takes note, the work of a single process ends as
    Lightning ends a training: by a ``SIGTERMException``. Several processes end together, by
    `end_if_asked`.

    If the Trainer has no progress bar, a bar of our own is shown where one of its callbacks has an
    attribute ``shows_progress`` that is true. Bars of other classes are left alone.

    Args:
        trainer: The Trainer.
        total: Number of units, such as batches or ranks; None if unknown.
        description: The text beside the bar.

    Yields:
        A function that takes the number of units done since its last call.
    """
    with _shown(trainer, total, description) as advance:

        def advance_or_end(n: int) -> None:
            advance(n)
            if trainer.world_size == 1:
                end_if_asked(trainer)

        yield advance_or_end


def end_if_asked(trainer: Trainer) -> None:
    """Raises a ``SIGTERMException`` if any process of the Trainer received SIGTERM in its run.

    All processes call it. Lightning looks at what it received between batches of training and of
    validation, but not after the last one of them.
    """
    check_stop()
    if trainer.strategy.reduce_boolean_decision(trainer.received_sigterm, all=False):
        raise SIGTERMException


@contextmanager
def _shown(
    trainer: Trainer, total: float | None, description: str
) -> Iterator[Callable[[int], None]]:
    bar: Any = trainer.progress_bar_callback
    if _is_a(bar, "RichProgressBar") and bar.is_enabled and bar.progress is not None:
        with _rich_task(bar, total, description) as advance:
            yield advance
    elif _is_a(bar, "TQDMProgressBar") and bar.is_enabled:
        with _tqdm_below(bar, total, description) as tqdm:
            yield lambda n: tqdm.update(n) and None
    else:
        callbacks: list[Any] = getattr(trainer, "callbacks", [])
        shown = bar is None and any(getattr(c, "shows_progress", False) for c in callbacks)
        with progress_bar(description, total, enabled=shown) as advance:
            yield advance


def _is_a(bar: object, name: str) -> bool:
    return isinstance(bar, lightning_classes(f"callbacks.{name}"))


@contextmanager
def _rich_task(
    bar: RichProgressBar, total: float | None, description: str
) -> Iterator[Callable[[int], None]]:
    progress = bar.progress
    assert progress is not None
    # A second live display on one console is an error in many versions of rich: use the first.
    task = progress.add_task(description, total=math.inf if total is None else total)

    def advance(n: int) -> None:
        progress.update(task, advance=n)
        bar.refresh()

    try:
        yield advance
    finally:
        # Hidden, not removed: Lightning finds its own tasks by their place in the list.
        progress.update(task, visible=False)
        bar.refresh()


def _tqdm_below(bar: TQDMProgressBar, total: float | None, description: str) -> Tqdm:
    return Tqdm(
        desc=description,
        total=total,
        # Below the bars of training and of validation.
        position=2 * bar.process_position + 2,
        leave=False,
        dynamic_ncols=True,
        file=sys.stdout,
        bar_format=bar.BAR_FORMAT,
    )

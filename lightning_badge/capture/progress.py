"""A progress bar for the pass over the pool, beside the bar that the Trainer shows."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

_DESCRIPTION = "Pool"


@contextmanager
def pool_progress(trainer: Trainer, n_batches: float | None) -> Iterator[Callable[[], None]]:
    """Shows the progress of the pass over the pool, in the style of the Trainer's own bar.

    Nothing is shown where the Trainer shows no bar, or a bar of an unknown class.

    Args:
        trainer: The Trainer whose bar is used.
        n_batches: Batches of the pool; None where that is unknown.

    Returns:
        A context that gives a function to call after each batch.
    """
    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and bar.is_enabled and bar.progress is not None:
        with _rich_task(bar, n_batches) as advance:
            yield advance
    elif isinstance(bar, TQDMProgressBar) and bar.is_enabled:
        with _tqdm_below(bar, n_batches) as tqdm:
            yield lambda: tqdm.update() and None
    else:
        yield lambda: None


@contextmanager
def _rich_task(bar: RichProgressBar, n_batches: float | None) -> Iterator[Callable[[], None]]:
    progress = bar.progress
    assert progress is not None
    # A second live display on one console is an error in many versions of rich: join the first.
    task = progress.add_task(_DESCRIPTION, total=math.inf if n_batches is None else n_batches)

    def advance() -> None:
        progress.update(task, advance=1)
        bar.refresh()

    try:
        yield advance
    finally:
        # Hidden, not removed: Lightning finds its own tasks by their place in the list.
        progress.update(task, visible=False)
        bar.refresh()


def _tqdm_below(bar: TQDMProgressBar, n_batches: float | None) -> Tqdm:
    return Tqdm(
        desc=_DESCRIPTION,
        total=n_batches,
        # Below the bars of training and of validation.
        position=2 * bar.process_position + 2,
        leave=False,
        dynamic_ncols=True,
        file=sys.stdout,
        bar_format=bar.BAR_FORMAT,
    )

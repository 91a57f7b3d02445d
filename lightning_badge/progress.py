"""One style of progress bar for all work that takes more than a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# Shorter work draws nothing.
DELAY = 1.0


class _Rate(ProgressColumn):
    """Units a second, as the steps themselves report them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def progress_bar(
    description: str,
    total: float | None,
    *,
    enabled: bool = True,
    console: Console | None = None,
    delay: float = DELAY,
) -> Iterator[Callable[[int], None]]:
    """Shows how far some work is: units done, units in all, rate and remaining time.

    The bar appears with the first step after ``delay`` and disappears at the end. Nothing is drawn
    where the console is not a terminal.

    Args:
        description: What is done, in one or two words.
        total: Units in all; None where that is unknown.
        enabled: False draws nothing.
        console: Where; standard error where None.
        delay: Seconds before the bar appears.

    Yields:
        A function that takes the number of units done since its last call.

    Example:
        >>> with progress_bar("Ordering", 100) as advance:
        ...     advance(100)
    """
    console = Console(stderr=True) if console is None else console
    if not (enabled and console.is_terminal):
        yield lambda _: None
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        expand=True,
    )
    task = progress.add_task(description, total=total)
    started = time.monotonic()

    def advance(units: int) -> None:
        if not progress.live.is_started and time.monotonic() - started >= delay:
            progress.start()
        progress.advance(task, units)

    try:
        yield advance
    finally:
        progress.stop()


@contextmanager
def progress_status(
    description: str, *, enabled: bool = True, console: Console | None = None
) -> Iterator[None]:
    """Shows a spinner beside work that cannot count its steps, on a terminal only.

    Args:
        description: What is done, in a few words.
        enabled: False draws nothing.
        console: Where; standard error where None.

    Example:
        >>> with progress_status("Embedding 1,000 rows"):
        ...     pass
    """
    console = Console(stderr=True) if console is None else console
    if not (enabled and console.is_terminal):
        yield
        return
    with console.status(description):
        yield

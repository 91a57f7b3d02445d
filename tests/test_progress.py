"""The progress bar: what it counts, when it is drawn."""

import io

import pytest
from pools import context_of, make_pool
from rich.console import Console

from lightning_badge.ordering import STRATEGIES, LazyOrdering, order
from lightning_badge.progress import progress_bar, progress_status


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def drawn(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_terminal_sees_units_rate_and_total() -> None:
    console = terminal()
    with progress_bar("Ordering", 100, console=console, delay=0) as advance:
        advance(40)
        advance(60)
    assert "Ordering" in drawn(console)
    assert "100/100" in drawn(console)


def test_a_file_sees_nothing() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress_bar("Ordering", 100, console=console, delay=0) as advance:
        advance(100)
    assert drawn(console) == ""


@pytest.mark.parametrize(("enabled", "delay"), [(False, 0.0), (True, 1e9)])
def test_nothing_is_drawn_where_it_is_off_or_the_work_is_short(enabled: bool, delay: float) -> None:
    console = terminal()
    with progress_bar("Ordering", 9, enabled=enabled, console=console, delay=delay) as advance:
        advance(9)
    assert "Ordering" not in drawn(console)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_reports_each_rank_once(strategy: str) -> None:
    pool = make_pool(40)
    reported: list[int] = []
    order(pool, strategy, k=30, progress=reported.append, **context_of(strategy, pool))
    assert min(reported) > 0
    assert sum(reported) == 30


def test_blocks_report_while_the_ordering_goes_on() -> None:
    pool = make_pool(3000)
    lazy = LazyOrdering(pool, "badge")
    reported: list[int] = []
    lazy.take(2000, progress=reported.append)
    assert sum(reported) == 2000
    assert len(reported) >= lazy.counters.blocks - 1 > 3


@pytest.mark.parametrize("is_terminal", [True, False])
def test_work_without_steps_shows_a_spinner_on_a_terminal(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    with progress_status("Embedding", console=console):
        pass
    assert ("Embedding" in drawn(console)) == is_terminal

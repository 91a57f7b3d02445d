"""Threads of torch's operations, and of the loops here.

torch's threads wait for each other by spinning. On a machine that is busy with other work, such as
training or a labeling page, each short operation of two threads then takes milliseconds instead
of microseconds. So short operations get one thread. The loops here have Python threads, which wait
without spinning and keep their number.

Without threadpoolctl, which the extra `numba` brings, nothing is changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

# For fewer pairs, starting threads costs more than it saves.
SERIAL_BELOW = 1 << 17

_of_thread = threading.local()  # with `number` inside `one_torch_thread`


def n_threads() -> int:
    """Returns how many threads a loop should have: as many as torch has otherwise."""
    number: int | None = getattr(_of_thread, "number", None)
    return torch.get_num_threads() if number is None else number


def in_threads(work: Callable[[Any], Any], parts: Sequence[Any]) -> list[Any]:
    """Returns what ``work`` returns for each part; several Python threads call it at once.

    The calling thread is one of them: waiting for others to begin would take longer than many a
    part. If a call raises, no more parts begin, and the error is raised here.
    """
    number = min(n_threads(), len(parts))
    if number <= 1:
        return [work(part) for part in parts]
    results: list[Any] = [None] * len(parts)
    left, lock, errors = iter(range(len(parts))), threading.Lock(), list[BaseException]()

    def take_parts() -> None:
        try:
            while not errors:
                with lock:
                    place = next(left, None)
                if place is None:
                    return
                results[place] = work(parts[place])
        except BaseException as error:
            errors.append(error)

    # Not numba's threads: they are OpenMP threads too.
    helpers = [threading.Thread(target=take_parts, daemon=True) for _ in range(number - 1)]
    for helper in helpers:
        helper.start()
    take_parts()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
    return results


def sum_over_parts(
    work: Callable[[slice], int], n: int, pairs: int, *, parts_a_thread: int = 8
) -> int:
    """Returns the sum of what ``work`` returns for slices that together cover ``range(n)``.

    Args:
        work: Called by several threads at once, with slices that have both ends.
        n: Rows or tiles.
        pairs: Number of pairs that are tested in all.
        parts_a_thread: More than one, because the work per part varies.
    """
    number = n_threads()
    if number == 1 or pairs < SERIAL_BELOW:
        return work(slice(0, n))
    size = max(1, -(-n // (parts_a_thread * number)))
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    return sum(in_threads(work, parts))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Gives operations that the calling thread starts one thread; other threads keep theirs."""
    number, controller = torch.get_num_threads(), _controller()
    if number == 1 or controller is None:
        yield
        return
    with controller.limit(limits=1, user_api="openmp"):
        _of_thread.number = number
        try:
            yield
        finally:
            del _of_thread.number


@contextmanager
def all_torch_threads() -> Iterator[None]:
    """Undoes `one_torch_thread` for long operations inside it."""
    number, controller = n_threads(), _controller()
    if number == torch.get_num_threads() or controller is None:
        yield
        return
    with controller.limit(limits=number, user_api="openmp"):
        yield


@cache
def _controller() -> Any:
    """Returns what sets the threads of the OpenMP libraries of this process, or None."""
    if find_spec("threadpoolctl") is None:
        return None
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

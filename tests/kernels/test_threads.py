"""One thread for short operations of torch, several for loops and long operations."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import numba_pruned, torch_blocked
from lightning_badge.kernels.numba_pruned import threads
from lightning_badge.ordering import LazyOrdering

pytest.importorskip("numba")
pytest.importorskip("threadpoolctl")
from lightning_badge.kernels.numba_pruned import compiled


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def test_only_the_calling_thread_has_one_and_gets_them_back() -> None:
    seen: list[int] = []
    with threads.one_torch_thread():
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert torch.get_num_threads() == 1
        assert threads.n_threads() == 3
        with threads.one_torch_thread():
            assert threads.n_threads() == 3
        with threads.all_torch_threads():
            assert torch.get_num_threads() == threads.n_threads() == 3
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads.n_threads() == 3
    assert seen == [3]


def test_an_error_gives_them_back() -> None:
    with pytest.raises(RuntimeError, match="stop"), threads.one_torch_thread():
        raise RuntimeError("stop")
    assert torch.get_num_threads() == threads.n_threads() == 3


def test_without_the_package_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_controller", lambda: None)
    with threads.one_torch_thread(), threads.all_torch_threads():
        assert torch.get_num_threads() == threads.n_threads() == 3


@pytest.mark.parametrize("prune_below", [0.0, 1.0])
def test_draws_have_one_thread_loops_and_products_have_all(
    prune_below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[int]] = {"draw": set(), "loop": set(), "product": set()}

    def spy(owner: Any, name: str, what: str, number: Any) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            seen[what].add(number())
            return original(*arguments, **more)

        monkeypatch.setattr(owner, name, call)

    monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", prune_below)
    spy(numba_pruned.NumbaBackend, "draw", "draw", torch.get_num_threads)
    spy(compiled, "update", "loop", threads.n_threads)
    spy(torch_blocked, "update_min_sq_dist", "product", torch.get_num_threads)
    rows = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    found = LazyOrdering(GradientEmbedding.from_dense(rows), backend="numba", seed=1).take()
    assert seen["draw"] == {1}
    assert seen["loop"] == {3}
    assert seen["product"] == (set() if prune_below else {3})
    torch.set_num_threads(1)
    one = LazyOrdering(GradientEmbedding.from_dense(rows), backend="numba", seed=1).take()
    assert list(one.sample_ids) == list(found.sample_ids)


def test_all_parts_are_worked_on_by_several_threads_of_which_one_is_the_caller() -> None:
    together, who = threading.Barrier(3), set()

    def work(part: int) -> int:
        if part < 3:
            together.wait(timeout=60)  # breaks if fewer threads are at work
            who.add(threading.get_ident())
        return part * part

    assert threads.in_threads(work, range(50)) == [part * part for part in range(50)]
    assert len(who) == 3
    assert threading.get_ident() in who
    assert threads.in_threads(work, []) == []


@pytest.mark.parametrize("where", ["the caller", "a helper"])
def test_an_error_in_a_part_ends_the_others(where: str) -> None:
    together, begun, before = threading.Barrier(3), [], threading.active_count()

    def work(part: int) -> None:
        begun.append(part)
        if part < 3:
            together.wait(timeout=60)
            if (threading.current_thread() is threading.main_thread()) == (where == "the caller"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.in_threads(work, range(1_000_000))
    assert len(begun) < 1_000_000
    assert threading.active_count() == before


def test_long_operations_keep_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_pruned, "LONG_OPERATIONS", 5)
    backend = numba_pruned.BACKEND
    with backend.threads_for(5):
        assert torch.get_num_threads() == 3
    with backend.threads_for(4):
        assert torch.get_num_threads() == 1

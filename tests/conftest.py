"""Test markers and shared fixtures. Test workers run in parallel, so each uses one thread."""

import logging
import math
import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by processes that tests start

import pytest
import torch

from lightning_badge.kernels import numba_pruned

torch.set_num_threads(1)
# Jobs that a shell starts in the background ignore it, and so would all that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Tests of complete runs, of data sets and models of other libraries, of thousands of orderings.
SLOW_FOLDERS = {"e2e", "examples", "statistical"}
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m gpu``, imports only files and folders with such tests; others may need packages."""
    if config.getoption("markexpr") != "gpu":
        return None
    is_file = collection_path.suffix == ".py"
    files = [collection_path] if is_file else collection_path.rglob("test_*.py")
    return None if any("gpu" in path.read_text(encoding="utf-8") for path in files) else True


@pytest.hookimpl(tryfirst=True)  # before ``-m`` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow: tests in slow folders, interpreted Triton tests, and long tests."""
    for item in items:
        in_slow_folder = any(item.path.is_relative_to(TESTS / name) for name in SLOW_FOLDERS)
        is_interpreted = IS_INTERPRETED and "triton" in item.nodeid
        if in_slow_folder or is_interpreted or item.get_closest_marker("long"):
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)  # before fixtures
def pytest_runtest_setup() -> None:
    """Removes log handlers of commands that an earlier test ran in this process."""
    for handler in list(logging.root.handlers):
        if getattr(getattr(handler, "stream", None), "closed", False):
            logging.root.removeHandler(handler)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the picture of a run in this process, which has its own tests."""
    # Drawing it takes longer than all the rest of a tiny round.
    draw = "lightning_badge.loop.learning_curve.LearningCurve._draw"
    monkeypatch.setattr(draw, lambda *_: None)


@pytest.fixture(params=["torch", "numba"])
def either_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ``backend="auto"`` choose torch or numba, regardless of the pool size."""
    monkeypatch.setattr(numba_pruned, "LEAST_ROWS", 0 if request.param == "numba" else math.inf)
    return request.param

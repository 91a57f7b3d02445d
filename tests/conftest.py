"""Test workers run side by side, so each of them computes on one thread."""

import math
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import pytest
import torch

from lightning_badge.kernels import numba_pruned

torch.set_num_threads(1)

TESTS = Path(__file__).parent
# Whole runs, data sets and models of other libraries, thousands of orderings each.
SLOW_FOLDERS = {"e2e", "examples", "statistical"}
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.hookimpl(tryfirst=True)  # before ``-m`` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what lies in a slow folder, what is interpreted, and what is long."""
    for item in items:
        in_slow_folder = any(item.path.is_relative_to(TESTS / name) for name in SLOW_FOLDERS)
        is_interpreted = IS_INTERPRETED and "triton" in item.nodeid
        if in_slow_folder or is_interpreted or item.get_closest_marker("long"):
            item.add_marker("slow")


@pytest.fixture(params=["torch", "numba"])
def either_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ``backend="auto"`` mean one of the two, whatever the size of the pool."""
    monkeypatch.setattr(numba_pruned, "LEAST_ROWS", 0 if request.param == "numba" else math.inf)
    return request.param

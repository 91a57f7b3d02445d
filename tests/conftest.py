"""Test workers run side by side, so each of them computes on one thread."""

import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import pytest
import torch

from lightning_badge.kernels import numba_pruned

torch.set_num_threads(1)


@pytest.fixture(params=["torch", "numba"])
def either_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ``backend="auto"`` mean one of the two, whatever the size of the pool."""
    monkeypatch.setattr(numba_pruned, "LEAST_ROWS", 0 if request.param == "numba" else math.inf)
    return request.param

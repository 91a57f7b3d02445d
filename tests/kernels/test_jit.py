"""How the loops are compiled."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")
from numba.core.options import DefaultOptions

from lightning_badge.kernels.numba_pruned import jit


def total(values: Any) -> Any:
    """Returns a sum, of a slice as the loops make them."""
    part, found = values[1:], 0.0
    for place in range(len(part)):
        found += part[place]
    return found


def reciprocal(value: Any) -> Any:
    """Returns 1 over a number."""
    return 1.0 / value


@pytest.fixture
def compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Returns what the module has if some options of numba are missing."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def found(*missing: str) -> dict[str, Any]:
        for name in missing:
            monkeypatch.delattr(DefaultOptions, name)
        return runpy.run_path(jit.__file__)

    return found


@pytest.mark.parametrize("missing", [(), ("forceinline",), ("forceinline", "_nrt")])
@pytest.mark.parametrize("name", ["jit_inner", "jit_inner_sum"])
def test_options_that_a_version_of_numba_lacks_are_left_out(
    name: str, missing: tuple[str, ...], compilers: Callable[..., dict[str, Any]]
) -> None:
    missing = tuple(option for option in missing if hasattr(DefaultOptions, option))
    compiled = compilers(*missing)[name](total)
    assert not set(missing) & set(compiled.targetoptions)
    assert compiled(np.arange(5.0)) == 10.0


def test_a_division_by_zero_in_a_loop_is_that_of_ieee_754(
    compilers: Callable[..., dict[str, Any]],
) -> None:
    assert compilers()["jit_inner"](reciprocal)(0.0) == np.inf

"""All kernels compile with each Triton that a CUDA build of torch installs, and with the newest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lightning-badge"


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.5.1", "3.6.0", "3.7.1", "3.9.0"])
def test_kernels_compile_within_their_bounds(version: str, tmp_path: Path) -> None:
    folder = CACHE / f"triton=={version}-{sys.implementation.cache_tag}"
    if not folder.is_dir():
        pytest.skip(f"needs Triton {version}: bash .ci/triton_versions {version}")
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env |= {"PYTHONPATH": str(folder), "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "scripts/bench_ordering.py", "--compile-report"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, last = done.stdout.splitlines()
    assert last == f"{len(rows) - 2} kernels compiled, 0 spill too much"
    assert sum("sm_80" in row for row in rows) == sum("sm_90" in row for row in rows) > 40

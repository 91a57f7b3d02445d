"""Checks an installed wheel: run outside the source tree with the folder it was installed into."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import lightning_badge
from lightning_badge import read_ordering

package = Path(lightning_badge.__file__).parent
assert package.parent == Path(sys.argv[1]), f"imported from {package}, not from the wheel"
assert (package / "py.typed").is_file()
assert not (package / "configs").is_symlink()


def run(*arguments: str) -> None:
    """Runs the command `lightning-badge` in the working directory."""
    subprocess.run([sys.executable, "-m", "lightning_badge", *arguments], check=True)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    run("loop", "budget=variable", "max_rounds=2", "run_dir=run")
    assert len(read_ordering("run/rounds/000/ordering.parquet")) == 1427
    np.save("rows.npy", np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32))
    run("order", "--penultimate", "rows.npy", "--logits", "rows.npy", "--k", "7")
    assert len(read_ordering("ordering.parquet")) == 7
print(f"wheel ok: {package}")

"""Uses an installed wheel; its file is the argument. Shows that it is the one that is installed."""

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import numpy as np

import lightning_badge
from lightning_badge import read_ordering

package = Path(lightning_badge.__file__).parent
installed = metadata.distribution("lightning-badge")
assert package == installed.locate_file("lightning_badge"), f"imported from {package}"
wheel = Path(sys.argv[1])
digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
with ZipFile(wheel) as files:
    for name in files.namelist():
        if not name.endswith(("/", ".dist-info/RECORD")):  # which pip completes
            same = Path(str(installed.locate_file(name))).read_bytes() == files.read(name)
            assert same, f"{name} is not that of {wheel}"
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
print(f"wheel ok: {package}, sha256 {digest}")

"""What the README shows is what runs."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def complete_script() -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if "BadgeCallback()" in block)


def test_the_complete_script_runs_in_an_empty_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", complete_script()], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "samples ordered, best first" in done.stdout
    assert "87 labeled" in done.stdout
    assert pq.read_table(tmp_path / "badge" / "ordering.parquet").num_rows == 1387


def test_the_complete_script_is_short() -> None:
    assert len(complete_script().splitlines()) <= 20

"""What the README shows is what runs."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


RUNS = re.findall(r"<!-- test: runs -->\n```python\n(.*?)```", README, re.DOTALL)


def complete_script() -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if "BadgeCallback()" in block)


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_complete_script_runs_in_an_empty_folder(tmp_path: Path) -> None:
    done = run(complete_script(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "samples ordered, best first" in done.stdout
    assert "87 labeled" in done.stdout
    assert pq.read_table(tmp_path / "badge" / "ordering.parquet").num_rows == 1387


def test_the_complete_script_is_short() -> None:
    assert len(complete_script().splitlines()) <= 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "rows"), [(RUNS[0], 100), (RUNS[1], 200)], ids=["keep_embedding", "capture"]
)
def test_what_is_marked_runs_by_itself(tmp_path: Path, code: str, rows: int) -> None:
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob("ordering.parquet")
    assert pq.read_table(path).num_rows == rows


def test_everything_that_is_marked_is_run() -> None:
    assert len(RUNS) == README.count("<!-- test: runs -->") == 2

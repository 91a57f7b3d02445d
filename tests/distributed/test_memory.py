"""Several processes need the memory of one, divided by their number."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("memory.py")


def peaks(world: int, store: Path) -> tuple[list[int], str]:
    """Returns the peak memory of each process above that after imports, and the first ranks."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(world), str(store)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    printed = [process.communicate(timeout=1200)[0].split(maxsplit=1) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert len({ids for _, ids in printed}) == 1
    return [int(peak) for peak, _ in printed], printed[0][1]


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_falls_as_one_over_the_number_of_processes(tmp_path: Path) -> None:
    (alone,), first = peaks(1, tmp_path / "1")
    for world in (2, 4):
        of_ranks, ids = peaks(world, tmp_path / str(world))
        assert ids == first
        assert max(of_ranks) * world < 1.2 * alone, (alone, of_ranks)

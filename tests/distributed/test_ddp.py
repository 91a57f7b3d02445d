"""Real Trainers on several processes: the same ordering, untouched training, and failures."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lightning_badge import read_ordering, write_ordering
from lightning_badge.ordering import STRATEGIES, Ordering

SCRIPT = Path(__file__).with_name("fit.py")
SHARDED = sorted(name for name, rule in STRATEGIES.items() if rule.sharded)
TIMEOUT = 900


def start(out: Path, *options: str) -> "subprocess.Popen[str]":
    """Starts the script in a process group of its own."""
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run(out: Path, devices: int, *options: str) -> list[dict[str, Any]]:
    """Runs the script and returns what each process saw, by rank."""
    process = start(out, "--devices", str(devices), *options)
    printed, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, printed
    return [torch.load(out / f"{rank}.pt", weights_only=False) for rank in range(devices)]


def assert_same_orderings(one: dict[str, Any], several: list[dict[str, Any]]) -> None:
    for of_rank in several:
        assert of_rank["ids"] == one["ids"]
        for name, gains in one["gains"].items():
            # A softmax may differ in its last bits with the place of the row in memory.
            np.testing.assert_allclose(of_rank["gains"][name], gains, rtol=1e-5)


def run_forked(folder: Path, name: str, devices: int, *options: str) -> list[dict[str, Any]]:
    """Does what `run` does, in forked processes that are started as ``torchrun`` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    common |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": str(devices)}
    code, out = SCRIPT.read_text(encoding="utf-8"), folder / name
    processes = [
        forked.start_program(
            *(folder, code, str(out), "--devices", str(devices), *options),
            **({**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if devices > 1 else {}),
        )
        for rank in range(devices)
    ]
    for process in processes:
        process.join(TIMEOUT)
    for process in processes:
        assert process.exitcode == 0, forked.ended(folder, process).err
    return [torch.load(out / f"{rank}.pt", weights_only=False) for rank in range(devices)]


@pytest.mark.slow
@pytest.mark.parametrize("n", [203, pytest.param(1003, marks=pytest.mark.long)])
def test_two_processes_order_like_one(tmp_path: Path, n: int) -> None:
    options = ["--only-validate", "--n", str(n), "--review", "2", "--strategies", *SHARDED]
    (one,) = run_forked(tmp_path, "one", 1, *options)
    two = run_forked(tmp_path, "two", 2, *options)
    assert sorted(one["ids"]) == SHARDED
    assert sorted(one["ids"]["badge"]) == list(range(n))
    assert_same_orderings(one, two)
    ordering = read_ordering(tmp_path / "two" / "badge.parquet")
    assert ordering.sample_ids.tolist() == one["ids"]["badge"]
    reviews = [
        pq.read_table(tmp_path / name / "review.parquet").sort_by("sample_id").drop("confidence")
        for name in ("one", "two")
    ]
    assert reviews[0].equals(reviews[1])


@pytest.mark.long
@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize(
    ("n", "batch_size", "workers"),
    [(1, 4, 0), (2, 1, 0), (11, 4, 0), (11, 4, 2), (1003, 64, 2), (10_007, 64, 0)],
)
def test_small_integers_give_the_same_ordering(
    tmp_path: Path, devices: int, n: int, batch_size: int, workers: int
) -> None:
    few = [name for name in SHARDED if "herding" not in name] if n > 5000 else SHARDED
    options = ["--integers", "--n", str(n), "--batch-size", str(batch_size)]
    options += ["--workers", str(workers), "--strategies", *few]
    (one,) = run(tmp_path / "one", 1, *options)
    assert sorted(one["ids"]["badge"]) == list(range(n))
    assert_same_orderings(one, run(tmp_path / "several", devices, *options))


@pytest.mark.long
@pytest.mark.parametrize("devices", [2, 3])
def test_training_is_untouched(tmp_path: Path, devices: int) -> None:
    with_it = run(tmp_path / "with", devices, "--n", "200")
    without = run(tmp_path / "without", devices, "--n", "200", "--without")
    for here, there in zip(with_it, without, strict=True):
        assert torch.equal(here["random"], there["random"])
        assert here["metrics"] == there["metrics"]
        assert sorted(here["weights"]) == sorted(there["weights"])
        for name, weight in here["weights"].items():
            assert torch.equal(weight, there["weights"][name])


@pytest.mark.long
@pytest.mark.parametrize(("n", "batch_size"), [(11, 4), (200, 64), (3, 4)])
def test_sharded_parameters_run_in_step(tmp_path: Path, n: int, batch_size: int) -> None:
    """FSDP2, which torch computes on the CPU; each forward pass waits for both processes."""
    options = ["--integers", "--n", str(n), "--batch-size", str(batch_size)]
    (one,) = run(tmp_path / "one", 1, *options)
    assert_same_orderings(one, run(tmp_path / "two", 2, *options, "--fsdp"))


@pytest.mark.long
def test_tensor_parallelism_is_refused_by_name(tmp_path: Path) -> None:
    process = start(tmp_path, "--devices", "2", "--tensor-parallel")
    printed, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode != 0
    assert "2 processes with ModelParallelStrategy are not supported" in printed


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("moment", ["capture", "ordering", "writing"])
@pytest.mark.parametrize("kind", ["kill", "raise"])
def test_a_failure_ends_all_processes_and_leaves_the_previous_ordering(
    tmp_path: Path, kind: str, moment: str, rank: int
) -> None:
    if moment == "writing" and rank == 1:
        pytest.skip("only rank zero writes")
    path = tmp_path / "ordering.parquet"
    write_ordering(Ordering(np.arange(3)), path)
    process = start(tmp_path, "--devices", "2", "--n", "100", "--fail", f"{kind}:{moment}:{rank}")
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    finally:
        gone = wait_until_gone(process.pid)
    assert process.returncode != 0, printed
    assert gone, printed
    assert read_ordering(path).sample_ids.tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.glob("*.parquet*")] == ["ordering.parquet"]
    if (kind, moment) == ("raise", "capture"):
        assert f"process {rank} of 2 failed: RuntimeError: struck in capture" in printed


def wait_until_gone(group: int) -> bool:
    """Waits until no process of a group is left; ends those that stay, and returns False then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return False

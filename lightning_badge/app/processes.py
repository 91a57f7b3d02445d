"""Starts the processes of a run whose Trainer has several devices.

Under torchrun or SLURM they exist already. Otherwise this process is rank zero and starts the
others with its own command line, as Lightning's launcher does for a script.
"""

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning.fabric.utilities import rank_zero_only
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from lightning_badge.app.supervise.child_side import CRASHED, GRACE_S, is_supervised
from lightning_badge.loop.workers import Workers
from lightning_badge.peers import Peers
from lightning_badge.stopping import SIGNALS, end_now, is_stopping

# Arguments of a Trainer that runs in this process only.
ALONE = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
_POLL_S = 0.5
_NOTICE_S = 2.0
_others: list["subprocess.Popen[bytes]"] = []
_stopping = threading.Lock()
_log = logging.getLogger(__name__)


def quiet_unless_first() -> None:
    """Lets only rank zero log what is not a warning."""
    rank: int = getattr(rank_zero_only, "rank", 0)  # from the environment that launchers set
    if rank > 0:
        for name in ("lightning_badge", "lightning"):
            logging.getLogger(name).setLevel(logging.WARNING)


def start_workers(trainer: Trainer, overrides: Sequence[str]) -> Workers:
    """Starts the processes of a Trainer, or joins them, and returns them.

    Args:
        trainer: A Trainer like those of the rounds.
        overrides: The command line of this process after ``loop``.

    Raises:
        MisconfigurationException: A strategy that starts its processes in ``fit``, or several nodes
            whose processes nobody started.
    """
    if trainer.world_size == 1:
        return Workers(Peers())
    strategy = trainer.strategy
    if not isinstance(strategy, ParallelStrategy) or not isinstance(
        strategy.launcher, _SubprocessScriptLauncher
    ):
        raise MisconfigurationException(
            f"trainer: expected strategy=ddp or fsdp for {trainer.world_size} processes, got "
            f"{type(strategy).__name__}, whose processes end after each training"
        )
    environment = strategy.cluster_environment
    assert environment is not None  # each launcher of this kind has one
    if not environment.creates_processes_externally:
        if trainer.num_nodes > 1:
            raise MisconfigurationException(
                f"trainer.num_nodes={trainer.num_nodes}: start one process for each device with "
                "torchrun or srun; docs/scale.md has examples"
            )
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"], os.environ["LOCAL_RANK"] = "0", "0"
        os.environ["WORLD_SIZE"] = str(trainer.world_size)
        _start_others(trainer.num_devices, overrides)
    # Lightning calls both again in each training, and finds that they were done.
    strategy.launcher.launch(strategy.setup_environment)
    return Workers.of_group()


@contextmanager
def ends_with_others() -> Iterator[None]:
    """Stops this process by the signal that stopped another one, which broke a collective here."""
    try:
        yield
    except Exception:
        if _others and (number := _signal_of_other()) is not None:
            _stop_by(number)
        raise


def _signal_of_other() -> int | None:
    """Returns which signal stopped another process, if one has just ended."""
    deadline = time.monotonic() + _NOTICE_S  # connections close before the process has ended
    while time.monotonic() < deadline:
        if ended := [status for process in _others if (status := process.poll()) is not None]:
            return next((number for status in ended if (number := _signal_of(status))), None)
        time.sleep(_POLL_S / 10)
    return None


def _signal_of(status: int) -> int | None:
    """Returns the signal that asked a process with this exit status to end."""
    return next((number for number in SIGNALS if status in (-number, 128 + number)), None)


def _start_others(n: int, overrides: Sequence[str]) -> None:
    command = [sys.executable, "-m", "lightning_badge", "loop", *overrides]
    others = [
        subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(rank)})
        for rank in range(1, n)
    ]
    _log.info("%d processes train together; %d were started", n, n - 1)
    _others.extend(others)
    atexit.register(_wait_for, others)
    threading.Thread(target=_end_with_any, args=(others,), daemon=True).start()


def _end_with_any(others: list["subprocess.Popen[bytes]"]) -> None:
    """Ends all processes as soon as one has failed: the others would wait for it."""
    while True:
        statuses = [process.poll() for process in others]
        if all(status == 0 for status in statuses):
            return None
        if failed := next((rank for rank, status in enumerate(statuses, 1) if status), None):
            status = statuses[failed - 1] or 0
            if is_stopping():
                return None
            if (number := _signal_of(status)) is not None:
                return _stop_by(number)
            print(
                f"error: process {failed} of {len(others) + 1} ended with status {status}; all "
                "labels are stored; run the same command again to go on",
                file=sys.stderr,
                flush=True,
            )
            _kill(others)
            os._exit(CRASHED if is_supervised() else 1)
        time.sleep(_POLL_S)


def _stop_by(number: int) -> None:
    """Stops this process as another one was stopped; a signal often reaches one of them only."""
    if _stopping.acquire(blocking=False):  # a second signal would end it without cleaning up
        os.kill(os.getpid(), number)
    time.sleep(GRACE_S)  # the main thread may wait for a process that has ended
    end_now(128 + number)


def _wait_for(others: list["subprocess.Popen[bytes]"]) -> None:
    """Waits a moment for the others, which end with the loop, and ends those that do not."""
    for process in [] if is_stopping() else others:
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            break
    _kill(others)


def _kill(others: list["subprocess.Popen[bytes]"]) -> None:
    for process in others:
        if process.poll() is None:
            process.kill()

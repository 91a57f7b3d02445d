"""Signals that end a command: in every phase of a loop, and beside Lightning's handlers."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException
from loop_run import Run
from signalled import PHASES, Signalled
from tiny import LIGHTNING_WARNINGS, Classifier, loader, make_trainer

from lightning_badge import stopping
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering
from lightning_badge.stopping import (
    HOW_TO_GO_ON,
    StopRequested,
    check_stop,
    end_at_once_by_signals,
    is_stopping,
    stops_by_signals,
    take_signals,
)

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.usefixtures("no_pictures")]
OF_TINY = [phase for phase in PHASES if phase not in ("validation", "ordering of files")]
SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives each test the state of a new process."""
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(stopping, "_state", stopping._State())
    for name in stopping._RANKS:
        monkeypatch.delenv(name, raising=False)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_raises_an_exception_and_says_how_to_go_on(
    number: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StopRequested) as raised, stops_by_signals(), stops_by_signals():
        os.kill(os.getpid(), number)
    assert raised.value.code == status
    assert capsys.readouterr().err == f"{HOW_TO_GO_ON}\n"
    check_stop()  # of the next command in this process


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_whose_exception_is_lost_is_not() -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def drop() -> None:
        Dropped()  # Python prints the exception and goes on
        assert is_stopping()
        check_stop()

    with pytest.raises(StopRequested), stops_by_signals():
        drop()


def test_without_a_signal_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    with stops_by_signals():
        assert signal.getsignal(signal.SIGTERM) not in before
        check_stop()
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before


def test_what_the_process_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stops_by_signals():
        os.kill(os.getpid(), signal.SIGINT)
    assert not is_stopping()


@pytest.mark.parametrize(("name", "quiet"), [("RANK", False), ("LOCAL_RANK", False), ("", True)])
def test_one_process_says_it(
    name: str, quiet: bool, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if name:
        monkeypatch.setenv(name, "1")
    with pytest.raises(StopRequested), stops_by_signals(quiet=quiet):
        os.kill(os.getpid(), signal.SIGTERM)
    assert not capsys.readouterr().err


def test_another_thread_changes_nothing() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def look() -> None:
        with stops_by_signals():
            take_signals()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_handlers_are_taken_back_and_given_up() -> None:
    with stops_by_signals():
        ours = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Lightning puts its own there
        take_signals()
        assert signal.getsignal(signal.SIGTERM) is ours
        end_at_once_by_signals()
        take_signals()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def python(code: str) -> "subprocess.CompletedProcess[str]":
    lines = "import os, signal, sys\nfrom lightning_badge.stopping import *\n" + code
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)


def test_a_second_signal_ends_the_process_at_once() -> None:
    ended = python("""
with stops_by_signals():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print("not reached")
""")
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", f"{HOW_TO_GO_ON}\n")


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", -15), ("SIGINT", 0)])
def test_a_forked_child_does_not_stop_as_the_command_does(number: str, status: int) -> None:
    ended = python(f"""
with stops_by_signals():
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))
    else:
        try:
            os.kill(os.getpid(), signal.{number})
        except KeyboardInterrupt:  # as a worker of a DataLoader does
            os._exit(0)
""")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{status}\n", "")


@pytest.fixture
def undo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(Signalled, "has_begun", False)
    functions: list[Any] = []
    yield functions.append
    for function in functions:
        function()


# There is one batch of validation. Other tests send the other combinations to real processes.
@pytest.mark.parametrize(
    ("number", "status", "phase"), [(*SIGNALS[n % 2], phase) for n, phase in enumerate(OF_TINY)]
)
@pytest.mark.slow
def test_a_loop_ends_in_every_phase_and_goes_on(
    number: int, status: int, phase: str, tmp_path: Path, undo: Any
) -> None:
    sends = Signalled(phase, number, str(tmp_path / "mark"), undo)
    run = Run(tmp_path / "run", extra_callbacks=[sends])
    with pytest.raises(StopRequested) as raised, stops_by_signals():
        run.go(max_rounds=2)
    assert raised.value.code == status
    assert not list((tmp_path / "run").rglob("*.tmp"))
    run.go(max_rounds=2)
    whole = Run(tmp_path / "whole")
    whole.go(max_rounds=2)
    assert run.labels() == whole.labels()
    assert run.curve() == whole.curve()


class Stopped(Signalled):
    """Sends SIGTERM to a Trainer without any command around it."""

    def __init__(self, phase: str, mark: Path, undo: Any) -> None:
        super().__init__(phase, signal.SIGTERM, str(mark), undo)


IN_POOL_PASS = ("pool pass", "ordering", "ordering file")


@pytest.mark.parametrize("phase", IN_POOL_PASS)
@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_a_trainer_of_somebody_else_ends_as_lightning_ends_it(
    phase: str, stage: str, tmp_path: Path, undo: Any
) -> None:
    sends = Stopped(phase, tmp_path / "mark", undo)
    badge = BadgeCallback(pool=loader(40), dirpath=tmp_path)
    trainer = make_trainer(tmp_path, callbacks=[badge, sends], max_epochs=1)
    loaders = [loader(40), loader(16)] if stage == "fit" else [loader(16)]
    with pytest.raises(SIGTERMException):
        getattr(trainer, stage)(Classifier(), *loaders)
    path = tmp_path / "ordering.parquet"
    assert path.exists() == (phase != "pool pass")
    assert not path.exists() or len(read_ordering(path)) == 40
    assert trainer.received_sigterm


def test_a_signal_before_the_last_validation_does_not_stop_earlier_than_lightning_does(
    tmp_path: Path, undo: Any
) -> None:
    sends = Stopped("training", tmp_path / "mark", undo)
    badge = BadgeCallback(pool=loader(40), dirpath=tmp_path)
    trainer = make_trainer(tmp_path, callbacks=[badge, sends], max_epochs=2)
    with pytest.raises(SIGTERMException):
        trainer.fit(Classifier(), loader(40), loader(16))
    assert trainer.global_step == 1

"""What the supervisor does when a child ends; children are scripted."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lightning_badge.app.supervise.child_side import CRASHED
from lightning_badge.app.supervise.plan import Plan
from lightning_badge.app.supervise.supervisor import Supervisor
from lightning_badge.durable.lock import FileLock
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.page_files import Page, page_path, write_page
from lightning_badge.store.label_store import LabelStore

PAGE = Page("p", "images", ("a", "b"))


class Scripted:
    """Ends with the statuses of a script, one at each look; None runs on."""

    def __init__(self, name: str, *statuses: int | None) -> None:
        self.name, self.statuses = name, list(statuses)
        self.starts = self.restarts = self.terminated = 0
        self.is_running = False

    def start_if_due(self) -> None:
        if not self.is_running:
            self.starts += 1
            self.is_running = True

    def ended(self) -> int | None:
        if not self.is_running or not self.statuses:
            return None
        status = self.statuses.pop(0)
        self.is_running = status is None
        return status

    def start_again(self) -> float:
        self.restarts += 1
        return 1.0

    def terminate(self) -> None:
        self.terminated += 1

    def wait(self) -> None:
        self.is_running = False


def made(
    path: Path, trainer: Scripted, server: Scripted, *, stays: bool = False, fresh: bool = False
) -> Supervisor:
    supervisor: Any = Supervisor(Plan(path, fresh, stays, ()), ["labelers=page"])
    supervisor._trainer, supervisor._server = trainer, server
    return supervisor


def published(path: Path) -> None:
    with LabelStore(path / "labels.db") as store:
        store.cut(0, allowed=(0, 3))


@pytest.mark.parametrize(
    ("status", "is_published", "expected"),
    [
        (0, True, 0),
        (1, True, 1),
        (2, False, 2),
        (CRASHED, False, CRASHED),
        (CRASHED, True, "again"),
        (-9, False, "again"),
        (143, True, "again"),
    ],
)
def test_the_end_of_the_trainer(
    tmp_path: Path, status: int, is_published: bool, expected: Any
) -> None:
    if is_published:
        published(tmp_path)
    trainer, server = Scripted("trainer", status, None, 0), Scripted("server")
    found = made(tmp_path, trainer, server).run()
    if expected == "again":
        assert (found, trainer.starts, trainer.restarts) == (0, 2, 1)
    else:
        assert (found, trainer.starts, trainer.restarts) == (expected, 1, 0)
    assert (trainer.terminated, server.terminated) == (1, 1)


@pytest.mark.parametrize(
    ("status", "expected"), [(1, 1), (2, 2), (-9, "again"), (143, "again"), (CRASHED, "again")]
)
def test_the_end_of_the_server(tmp_path: Path, status: int, expected: Any) -> None:
    write_page(tmp_path, PAGE, [])
    trainer = Scripted("trainer", -9, None, None, None, None, 0)
    server = Scripted("server", status)
    found = made(tmp_path, trainer, server).run()
    if expected == "again":
        assert (found, server.starts, server.restarts) == (0, 2, 1)
    else:
        assert (found, server.starts) == (expected, 1)


class Writing(Scripted):
    """Writes the page when it is looked at for the second time."""

    def __init__(self, path: Path, *statuses: int | None) -> None:
        super().__init__("trainer", *statuses)
        self.path, self.looks = path, 0

    def ended(self) -> int | None:
        self.looks += self.is_running
        if self.looks == 2:
            write_page(self.path, PAGE, [])
        return super().ended()


@pytest.mark.parametrize("is_resumed", [False, True])
def test_the_page_is_served_once_the_trainer_has_checked_its_configuration(
    tmp_path: Path, is_resumed: bool
) -> None:
    if is_resumed:
        write_page(tmp_path, PAGE, [])
    server = Scripted("server")
    assert made(tmp_path, Scripted("trainer", None, None, 1), server).run() == 1
    assert server.starts == 0
    assert made(tmp_path, Writing(tmp_path, None, None, None, 0), server).run() == 0
    assert server.starts == 1


def test_a_server_that_runs_already_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_path(tmp_path).mkdir()
    lock = FileLock(page_path(tmp_path) / "server.lock", error=RunDirectoryError)
    server = Scripted("server")
    trainer = Writing(tmp_path, None, None, None, None, 0)
    assert made(tmp_path, trainer, server).run() == 0
    assert server.starts == 0
    assert f"is served by process {os.getpid()}" in capsys.readouterr().err
    lock.release()


def test_the_page_stays_until_a_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Signalling(Scripted):
        def ended(self) -> int | None:
            if not self.statuses and not self.is_running:
                os.kill(os.getpid(), signal.SIGINT)
            return super().ended()

    before = signal.getsignal(signal.SIGINT)
    assert made(tmp_path, Signalling("trainer", None, 0), Scripted("server"), stays=True).run() == 0
    assert "stays for review" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both(tmp_path: Path, number: int, capsys: Any) -> None:
    class Signalled(Scripted):
        def ended(self) -> int | None:
            if self.is_running:
                os.kill(os.getpid(), number)
            return None

    trainer, server = Signalled("trainer"), Scripted("server")
    assert made(tmp_path, trainer, server).run() == 128 + number
    assert trainer.terminated == server.terminated == 1
    assert capsys.readouterr().err == "stopped; run the same command again to continue\n"


def test_a_fresh_run_is_moved_aside_once_and_its_old_page_is_not_served(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write_page(run, PAGE, [])
    supervisor: Any = Supervisor(Plan(run, True, False, ()), ["labelers=page", "fresh=true"])
    supervisor._trainer = trainer = Scripted("trainer")
    trainer.starts = 2
    assert not supervisor._may_serve()
    assert supervisor._trainer_arguments() == ["loop", "labelers=page", "fresh=true"]
    run.rename(tmp_path / "run.old-1")
    run.mkdir()
    assert supervisor._trainer_arguments() == ["loop", "labelers=page", "fresh=false"]
    assert not supervisor._may_serve()
    write_page(run, PAGE, [])
    assert supervisor._may_serve()


def test_a_fresh_run_that_goes_on_is_not_moved_aside(tmp_path: Path) -> None:
    arguments = ["labelers=page", "fresh=true"]
    supervisor: Any = Supervisor(Plan(tmp_path, False, False, ()), arguments)
    assert supervisor._trainer_arguments() == ["loop", "labelers=page", "fresh=false"]
    plain: Any = Supervisor(Plan(tmp_path, False, False, ()), arguments[:1])
    assert plain._trainer_arguments() == ["loop", "labelers=page"]

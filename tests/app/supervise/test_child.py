"""Child processes: output once, pauses after crashes, an end with the supervisor."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_badge.app.supervise import child as module
from lightning_badge.app.supervise.child import Child, is_crash, is_signal
from lightning_badge.app.supervise.child_side import CRASHED

PYTHON = (sys.executable, "-c")


def wait(child: Child) -> int:
    while (status := child.ended()) is None:
        time.sleep(0.01)
    return status


def test_pauses_double_up_to_a_minute_and_begin_anew_after_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    child = Child("it", lambda: [""], program=PYTHON)
    child.start_if_due()
    assert [child.start_again() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    now += 60
    assert child.start_again() == 1
    child.wait()


def test_it_is_not_started_before_its_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    child = Child("it", lambda: ["raise SystemExit(3)"], program=PYTHON)
    child.start_if_due()
    assert wait(child) == 3
    assert child.ended() is None, "a status is returned once"
    child.start_again()
    now += 0.9
    child.start_if_due()
    assert not child.is_running
    now += 0.2
    child.start_if_due()
    assert wait(child) == 3
    assert child.starts == 2


def test_a_line_is_shown_once_however_often_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["print('address')", "print('address'); print('news')"])
    child = Child("it", lambda: [next(lines)], shown=set(), program=PYTHON)
    for _ in range(2):
        child.start_if_due()
        assert wait(child) == 0
    assert capsys.readouterr().out == "address\nnews\n"


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.2)
    ready = tmp_path / "ready"
    script = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    child = Child("it", lambda: [script], program=PYTHON)
    child.start_if_due()
    while not ready.exists():
        time.sleep(0.01)
    child.terminate()
    child.wait()
    assert not child.is_running


@pytest.mark.parametrize(
    ("status", "signals", "crashes"),
    [(-9, True, False), (143, True, False), (130, True, False), (CRASHED, False, True), (1,) * 3],
)
def test_what_a_status_says(status: int, signals: Any, crashes: Any) -> None:
    if status == 1:
        signals = crashes = False
    assert (is_signal(status), is_crash(status)) == (signals, crashes)


SUPERVISOR = """
import sys, time
from lightning_badge.app.supervise.child import Child
script = (
    "import os, time; from lightning_badge.app.supervise.child_side import end_with_supervisor; "
    "end_with_supervisor(); print(os.getpid(), flush=True); time.sleep(600)"
)
child = Child("it", lambda: [script], program=(sys.executable, "-c"), shown=set())
child.start_if_due()
time.sleep(600)
"""


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look at processes")
def test_a_child_ends_with_a_supervisor_that_was_killed() -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout
    pid = int(supervisor.stdout.readline())
    assert lives(pid)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    supervisor.stdout.close()
    while lives(pid):
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "supervised", "expected"),
    [
        ("ValueError('broken')", True, CRASHED),
        ("ValueError('broken')", False, 1),
        ("BadgeError('mend it')", True, 3),
        ("SystemExit(5)", True, 5),
    ],
)
def test_only_a_crash_has_its_own_status(error: str, supervised: bool, expected: int) -> None:
    code = (
        "from lightning_badge.app.supervise.child_side import crash_status\n"
        "from lightning_badge.exceptions import BadgeError\n"
        f"try:\n with crash_status():\n  raise {error}\n"
        "except BadgeError: raise SystemExit(3)\n"
    )
    env = {**os.environ, **({"LIGHTNING_BADGE_SUPERVISED": "1"} if supervised else {})}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert found.returncode == expected
    assert ("broken" in found.stderr) == ("broken" in error)

import errno
import os
from typing import NoReturn

from lightning_badge.app.command_line import one_line_errors

import pytest

from lightning_badge.app import command_line, main
from lightning_badge.app.system_errors import describe

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/learning_curve.csv")
SENTENCE = (
    "error: runs/learning_curve.csv: No space left on device; make room, and run the same command "
    "again"
)


def fail(error: Exception) -> NoReturn:
    with one_line_errors():
        raise error


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_an_error_of_the_system_is_one_line(is_wrapped: bool) -> None:
    error: Exception = FULL
    if is_wrapped:
        error = command_line.HydraException("instantiation failed\nin many lines")
        error.__cause__ = FULL
    with pytest.raises(SystemExit) as ended:
        fail(error)
    assert ended.value.code == SENTENCE


def test_other_commands_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise FULL

    monkeypatch.setattr(main.group, "main", full)
    with pytest.raises(SystemExit) as ended:
        main.main(["status"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"{SENTENCE}\n"


def test_errors_without_a_remedy_keep_their_tracebacks() -> None:
    with pytest.raises(FileNotFoundError):
        fail(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x"))
    assert describe(ValueError("x")) is None
    assert describe(OSError("without a number")) is None

import time

import pytest

from lightning_badge.callback.duration import estimate_duration


def test_what_is_done_once_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run_first(steps: int) -> None:
        clock[0] += 10.0 + 0.5 * steps

    assert estimate_duration(run_first, steps=1000).total_seconds() == 10 + 0.5 * 1000

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from tiny import LIGHTNING_WARNINGS, Classifier, Counted, fit, loader
from torch import Tensor

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import CaptureError

pytestmark = LIGHTNING_WARNINGS


def pool_tasks(bar: RichProgressBar, description: str = "Pool") -> list[tuple[float, bool]]:
    assert bar.progress is not None
    tasks = [task for task in bar.progress.tasks if task.description == description]
    return [(task.completed, task.visible) for task in tasks]


def test_a_bar_of_rich_gets_one_more_task_for_each_pass(tmp_path: Path) -> None:
    bar = RichProgressBar()
    trainer = fit(
        tmp_path,
        bar,
        Counted(pool=loader(64), when="every_validation"),
        max_epochs=2,
        enable_progress_bar=True,
    )
    assert pool_tasks(bar) == [(4, False), (4, False)]
    assert pool_tasks(bar, "Ordering") == [(3, False), (3, False)]
    trainer.validate(Classifier(), loader(16), verbose=False)
    assert pool_tasks(bar) == [(4, False)]


def test_a_bar_of_tqdm_gets_another_one_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = fit(tmp_path, TQDMProgressBar(), Counted(pool=loader(64)), enable_progress_bar=True)
    printed = capsys.readouterr().out
    assert re.search(r"Pool: .*/4 ", printed)
    assert re.search(r"Ordering: .*/3 ", printed)
    trainer.validate(Classifier(), loader(16), verbose=False)
    assert re.search(r"Pool: .*/4 ", capsys.readouterr().out)


def test_a_disabled_bar_stays_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bar = TQDMProgressBar(refresh_rate=0)
    fit(tmp_path, bar, Counted(pool=loader(64)), enable_progress_bar=True)
    assert "Pool" not in capsys.readouterr().out


def test_a_pass_that_fails_takes_its_bar_away(tmp_path: Path) -> None:
    class Fails(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) == 4:  # the last batch of the pool
                raise ZeroDivisionError
            return super().forward(x)

    bar = RichProgressBar()
    with pytest.raises(CaptureError, match="ZeroDivisionError"):
        fit(tmp_path, bar, BadgeCallback(pool=loader(20)), model=Fails(), enable_progress_bar=True)
    assert pool_tasks(bar) == [(1, False)]


@pytest.mark.parametrize("shown", [True, False])
def test_a_callback_that_shows_progress_asks_for_the_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    """A Trainer without a progress bar shows none of its own accord."""
    asked: list[tuple[str, float | None, bool]] = []

    @contextmanager
    def record(
        description: str, total: float | None, *, enabled: bool
    ) -> Iterator[Callable[[int], None]]:
        asked.append((description, total, enabled))
        yield lambda _: None

    monkeypatch.setattr("lightning_badge.capture.progress.progress_bar", record)
    callback = Counted(pool=loader(64))
    callback.shows_progress = shown
    fit(tmp_path, callback)
    assert [entry for entry in asked if entry[1] in (4, 3)] == [
        ("Pool", 4, shown),
        ("Ordering", 3, shown),
    ]

"""What several tests of the loop share."""

import pytest

from lightning_badge.loop.learning_curve import LearningCurve


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing takes longer than all the rest, and has its own tests.
    monkeypatch.setattr(LearningCurve, "_draw", lambda *_: None)

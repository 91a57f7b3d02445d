"""Two callbacks with one file, and a folder that changed before a run was resumed."""

import logging
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from old_lightning import WEIGHTS_ONLY
from tiny import LIGHTNING_WARNINGS, Classifier, fit, loader, make_trainer

from lightning_badge.callback.badge import BadgeCallback

pytestmark = LIGHTNING_WARNINGS


def badge(strategy: str = "badge", **arguments: Any) -> BadgeCallback:
    return BadgeCallback(strategy, pool=loader(20), **arguments)


class TestOneFile:
    def test_of_two_callbacks_is_an_error_before_training(self, tmp_path: Path) -> None:
        model = Classifier()
        with pytest.raises(MisconfigurationException, match=r"two BadgeCallbacks write .*filename"):
            fit(tmp_path, badge(), badge("entropy"), model=model)

    def test_of_a_subclass_too(self, tmp_path: Path) -> None:
        class Own(BadgeCallback):
            pass

        folder = tmp_path / "badge"
        trainer = make_trainer(
            tmp_path, callbacks=[badge(), Own("entropy", pool=loader(20), dirpath=folder)]
        )
        with pytest.raises(MisconfigurationException, match="two BadgeCallbacks write"):
            trainer.validate(Classifier(), loader(16), verbose=False)

    def test_each_its_own_is_none(self, tmp_path: Path) -> None:
        fit(tmp_path, badge(), badge("entropy", dirpath=tmp_path / "other"))


# Lightning warns too that a state found no callback of its key.
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
class TestAnotherFolder:
    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        trainer = fit(tmp_path, badge(dirpath=tmp_path / "one"), badge("entropy"))
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    def resume(self, root: Path, checkpoint: Path, *callbacks: BadgeCallback) -> None:
        trainer = make_trainer(root, callbacks=list(callbacks), max_epochs=2)
        trainer.fit(Classifier(), loader(64), loader(16), ckpt_path=checkpoint, **WEIGHTS_ONLY)

    def test_is_said_and_the_count_goes_on(
        self, tmp_path: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        moved, other = badge(dirpath=tmp_path / "two"), badge("entropy")
        with caplog.at_level(logging.INFO):
            self.resume(tmp_path, checkpoint, moved, other)
        (said,) = [text for text in caplog.messages if "dirpath was" in text]
        assert f"dirpath was {str(tmp_path / 'one')!r}" in said
        assert f"is {str(tmp_path / 'two')!r} now" in said
        assert said.endswith(f"stays at {tmp_path / 'one' / 'ordering.parquet'}")
        assert (moved.n_orderings, other.n_orderings) == (2, 2)
        assert moved.last_ordering_path == tmp_path / "two" / "ordering.parquet"

    def test_the_same_one_says_nothing(
        self, tmp_path: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            self.resume(tmp_path, checkpoint, badge(dirpath=tmp_path / "one"), badge("entropy"))
        assert "dirpath was" not in caplog.text

    def test_the_state_of_another_callback_is_left_to_it(
        self, tmp_path: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        own = badge(dirpath=tmp_path / "one")
        new = badge(dirpath=tmp_path / "three")
        with caplog.at_level(logging.INFO):
            self.resume(tmp_path, checkpoint, own, new, badge("entropy"))
        assert "dirpath was" not in caplog.text
        assert (own.n_orderings, new.n_orderings) == (2, 1)

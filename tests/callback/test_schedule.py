"""At which moments of a fit the pool is ordered, and by which weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.trainer.states import RunningStage
from old_lightning import WEIGHTS_ONLY
from tiny import LIGHTNING_WARNINGS, Classifier, Counted, fit, loader, make_trainer
from torch.utils.data import DataLoader, IterableDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.ordering import order

pytestmark = LIGHTNING_WARNINGS


class Hooked(Counted):
    """Remembers also in which hook it ordered."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"seed": 2, "k": None, **arguments})
        self.hooks: list[str] = []

    def _order_pool(self, trainer: Trainer, pl_module: Any) -> None:
        self.hooks.append(pl_module._current_fx_name)
        super()._order_pool(trainer, pl_module)


def assert_of_the_final_weights(callback: BadgeCallback, model: Classifier) -> None:
    expected = order(capture(model, loader(20)), seed=2)
    assert list(callback.ordering) == list(expected)
    np.testing.assert_array_equal(callback.ordering.gains, expected.gains)


class StopAt(Callback):
    """Stops training after a step, as a clock does: no validation knows of it."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


class Clock(Timer):
    """Reaches its limit after a few steps, whatever the time is."""

    def __init__(self) -> None:
        super().__init__(duration={"seconds": 7}, interval="step")
        self.calls = 0

    def time_elapsed(self, stage: Any = RunningStage.TRAINING) -> float:
        self.calls += 1
        return self.calls


def stop_early(**arguments: Any) -> EarlyStopping:
    return EarlyStopping("val_loss", stopping_threshold=1e9, **arguments)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(loader(64).dataset)


class TestLastValidation:
    @pytest.mark.parametrize(
        ("arguments", "hook", "moment"),
        [
            ({"max_epochs": 3}, "on_validation_end", (2, 12)),
            ({"max_epochs": 3, "val_check_interval": 0.5}, "on_validation_end", (2, 12)),
            ({"max_epochs": 2, "accumulate_grad_batches": 3}, "on_validation_end", (1, 4)),
            ({"limit_train_batches": 3}, "on_validation_end", (0, 3)),
            ({"val_check_interval": 1, "max_steps": 2}, "on_validation_end", (0, 2)),
            # Steps follow the last validation.
            ({"max_epochs": 2, "val_check_interval": 3}, "on_train_end", (2, 8)),
            ({"max_epochs": 3, "check_val_every_n_epoch": 2}, "on_train_end", (3, 12)),
            ({"max_steps": 6, "max_epochs": -1}, "on_train_end", (2, 6)),
            ({"limit_val_batches": 0, "max_epochs": 2}, "on_train_end", (2, 8)),
        ],
    )
    def test_orders_once_by_the_weights_with_which_the_fit_ends(
        self, tmp_path: Path, arguments: dict[str, Any], hook: str, moment: tuple[int, int]
    ) -> None:
        callback, model = Hooked(), Classifier()
        fit(tmp_path, callback, model=model, **arguments)
        assert callback.hooks == [hook]
        assert callback.moments == [moment]
        assert_of_the_final_weights(callback, model)

    @pytest.mark.parametrize(
        ("stop", "arguments"),
        [
            (stop_early, {}),
            (lambda: stop_early(check_on_train_epoch_end=False), {"val_check_interval": 1}),
            (lambda: StopAt(6), {}),
            (lambda: StopAt(6), {"val_check_interval": 1}),
            (Clock, {}),
        ],
    )
    @pytest.mark.parametrize("stops_first", [True, False])
    def test_orders_once_whatever_ends_the_fit(
        self,
        tmp_path: Path,
        stop: Callable[[], Callback],
        arguments: dict[str, Any],
        stops_first: bool,
    ) -> None:
        callback, model = Hooked(), Classifier()
        callbacks = [stop(), callback] if stops_first else [callback, stop()]
        trainer = fit(tmp_path, *callbacks, model=model, max_epochs=5, **arguments)
        assert 0 < trainer.global_step < 20
        assert callback.n_orderings == 1
        assert callback.ordering.metadata["global_step"] == trainer.global_step
        assert_of_the_final_weights(callback, model)

    @pytest.mark.parametrize("steps", [-1, 3])
    def test_orders_once_where_nobody_knows_the_length_of_an_epoch(
        self, tmp_path: Path, steps: int
    ) -> None:
        callback, model = Hooked(), Classifier()
        trainer = make_trainer(
            tmp_path, callbacks=[callback], val_check_interval=2, max_steps=steps
        )
        trainer.fit(model, DataLoader(Stream(), batch_size=16), loader(16))
        assert callback.n_orderings == 1
        assert_of_the_final_weights(callback, model)

    def test_orders_again_where_the_end_of_the_epoch_changes_the_weights(
        self, tmp_path: Path
    ) -> None:
        class Rounds(Classifier):
            def on_train_epoch_end(self) -> None:
                with torch.no_grad():
                    self.network[3].weight.mul_(-2)

        callback, model = Hooked(), Rounds()
        fit(tmp_path, callback, model=model)
        assert callback.hooks == ["on_validation_end", "on_train_end"]
        assert_of_the_final_weights(callback, model)

    def test_orders_in_every_fit(self, tmp_path: Path) -> None:
        callback = Hooked()
        for model in (Classifier(), Classifier()):
            fit(tmp_path, callback, model=model)
            assert_of_the_final_weights(callback, model)
        assert callback.n_orderings == 2

    def test_orders_nothing_where_nothing_is_trained(self, tmp_path: Path) -> None:
        callback = Hooked()
        fit(tmp_path, callback, max_epochs=0)
        assert callback.n_orderings == 0


class TestEveryValidation:
    @pytest.mark.parametrize(
        ("every_n", "arguments", "moments"),
        [
            (1, {"max_epochs": 3}, [(0, 4), (1, 8), (2, 12)]),
            (2, {"max_epochs": 5}, [(1, 8), (3, 16)]),
            (1, {"max_epochs": 4, "check_val_every_n_epoch": 2}, [(1, 8), (3, 16)]),
            (1, {"val_check_interval": 0.5}, [(0, 2), (0, 4)]),
            (3, {"val_check_interval": 1, "max_epochs": 2}, [(0, 3), (1, 6)]),
            # Without any validation, once at the end.
            (1, {"max_epochs": 2, "limit_val_batches": 0}, [(2, 8)]),
            (9, {"max_epochs": 2, "check_val_every_n_epoch": 3}, [(2, 8)]),
        ],
    )
    def test_orders_after_every_nth(
        self,
        tmp_path: Path,
        every_n: int,
        arguments: dict[str, Any],
        moments: list[tuple[int, int]],
    ) -> None:
        callback = Counted(when="every_validation", every_n=every_n)
        fit(tmp_path, callback, **arguments)
        assert callback.moments == moments

    def test_a_resumed_fit_goes_on_counting(self, tmp_path: Path) -> None:
        arguments: dict[str, Any] = {"when": "every_validation", "every_n": 3}
        trainer = fit(tmp_path, Counted(**arguments), max_epochs=2)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        resumed = Counted(**arguments)
        trainer = make_trainer(tmp_path, callbacks=[resumed], max_epochs=4)
        trainer.fit(
            Classifier(), loader(64), loader(16), ckpt_path=tmp_path / "last.ckpt",
            **WEIGHTS_ONLY,
        )  # fmt: skip
        assert [epoch for epoch, _ in resumed.moments] == [2]


def test_validating_the_best_checkpoint_orders_by_the_best_weights(tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="epoch", mode="min")
    callback, model = Hooked(when="never"), Classifier()
    trainer = make_trainer(
        tmp_path, callbacks=[callback, best], max_epochs=3, enable_checkpointing=True
    )
    trainer.fit(model, loader(64), loader(16))
    trainer.validate(model, loader(16), ckpt_path="best", verbose=False, **WEIGHTS_ONLY)
    assert callback.ordering.metadata["epoch"] == 0
    saved = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert_of_the_final_weights(callback, model)

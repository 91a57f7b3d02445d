import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from tiny import LIGHTNING_WARNINGS, Classifier, Counted, fit, loader, make_trainer
from torch.utils.data import DataLoader, IterableDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.kernels import backend as backend_module

pytestmark = LIGHTNING_WARNINGS


class TestLastValidationOfAnEpoch:
    @pytest.mark.parametrize(
        ("arguments", "moments"),
        [
            ({"val_check_interval": 0.5}, [(0, 4), (1, 8)]),
            ({"val_check_interval": 3}, [(0, 3), (1, 7)]),
            ({"val_check_interval": 6, "check_val_every_n_epoch": None}, [(1, 6)]),
            ({"val_check_interval": 1, "max_steps": 2}, [(0, 2)]),
            ({"val_check_interval": 1, "max_steps": 1, "accumulate_grad_batches": 2}, [(0, 1)]),
            ({"val_check_interval": 2, "limit_train_batches": 3}, [(0, 2), (1, 5)]),
        ],
    )
    def test_after_the_last_of_several_validations(
        self, tmp_path: Path, arguments: dict[str, Any], moments: list[tuple[int, int]]
    ) -> None:
        callback = Counted()
        fit(tmp_path, callback, **{"max_epochs": 2, **arguments})
        assert callback.moments == moments

    def test_after_the_validation_that_stops_training(self, tmp_path: Path) -> None:
        callback = Counted()
        stop = EarlyStopping("val_loss", stopping_threshold=1e9, check_on_train_epoch_end=False)
        fit(tmp_path, stop, callback, max_epochs=5, val_check_interval=1)
        assert callback.moments == [(0, 1)]

    def test_after_each_validation_of_an_endless_epoch(self, tmp_path: Path) -> None:
        class Stream(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                return iter(loader(64).dataset)

        callback = Counted()
        trainer = make_trainer(tmp_path, callbacks=[callback], val_check_interval=2)
        trainer.fit(Classifier(), DataLoader(Stream(), batch_size=16), loader(16))
        assert callback.moments == [(0, 2), (0, 4)]


class TestWarnings:
    def test_no_validation_names_the_way_out_once(self, tmp_path: Path) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer = make_trainer(tmp_path, callbacks=[Counted()], max_epochs=3)
            trainer.fit(Classifier(), loader(64))
        said = [str(w.message) for w in caught if "BadgeCallback" in str(w.message)]
        assert len(said) == 1
        assert "trainer.validate(...)" in said[0]

    def test_validation_that_is_switched_off(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="no validation batches"):
            fit(tmp_path, Counted(), limit_val_batches=0)
        fit(tmp_path, Counted(during_fit=False), limit_val_batches=0)

    @pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
    def test_a_datamodule_without_validation_data(self, tmp_path: Path) -> None:
        datamodule = ActiveLearningDataModule(loader(64).dataset, initial_labeled=20)
        trainer = make_trainer(tmp_path, callbacks=[BadgeCallback()])
        with pytest.warns(UserWarning, match="no validation batches"):
            trainer.fit(Classifier(), datamodule=datamodule)

    def test_a_late_first_validation_draws_none(self, tmp_path: Path) -> None:
        callback = Counted()
        fit(tmp_path, callback, max_epochs=2, check_val_every_n_epoch=2, num_sanity_val_steps=0)
        assert len(callback.moments) == 1

    def test_averaged_weights(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="not by the averages that WeightAveraging keeps"):
            fit(tmp_path, WeightAveraging(), Counted())


class TestProcesses:
    def test_several_processes_are_refused_before_training(self, tmp_path: Path) -> None:
        trainer = make_trainer(tmp_path, callbacks=[BadgeCallback()], devices=2, strategy="ddp")
        with pytest.raises(MisconfigurationException, match="has 2; .*devices=1"):
            trainer.callbacks[0].setup(trainer, Classifier(), "fit")


def test_a_backend_of_another_device_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    trainer = make_trainer(tmp_path, callbacks=[BadgeCallback(backend="triton")])
    with pytest.raises(MisconfigurationException, match="on cpu; backend='torch' computes anyw"):
        trainer.callbacks[0].setup(trainer, Classifier(), "fit")

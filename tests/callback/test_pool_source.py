from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities import CombinedLoader
from tiny import LIGHTNING_WARNINGS, loader, make_trainer

from lightning_badge.callback.pool_source import pool_source

pytestmark = LIGHTNING_WARNINGS


def owner(kind: type, **loaders: Any) -> Any:
    methods = {name: (lambda self, loader=loader: loader) for name, loader in loaders.items()}
    return type(f"Own{kind.__name__}", (kind,), methods)()


def find(given: Any = None, module: Any = None, datamodule: Any = None) -> Any:
    trainer = make_trainer(Path())
    if datamodule is not None:
        trainer.datamodule = datamodule
    return pool_source(trainer, module or LightningModule(), given)()


def test_the_first_who_gives_a_pool_is_asked() -> None:
    module = owner(LightningModule, pool_dataloader=["c"], predict_dataloader=["e"])
    datamodule = owner(LightningDataModule, pool_dataloader=["b"], predict_dataloader=["d"])
    predicting = owner(LightningDataModule, predict_dataloader=["d"])
    assert find("a", module, datamodule) == "a"
    assert find(None, module, datamodule) == "b"
    assert find(None, module, predicting) == "c"
    assert find(None, owner(LightningModule, predict_dataloader=["e"]), predicting) == "d"
    assert find(None, owner(LightningModule, predict_dataloader=["e"])) == "e"


def test_no_pool_is_an_error_that_shows_the_ways() -> None:
    with pytest.raises(
        MisconfigurationException,
        match=r"pool=DataLoader.*pool_dataloader\(\).*predict_dataloader\(\)",
    ):
        find(datamodule=LightningDataModule())


@pytest.mark.parametrize(
    "loaders",
    [
        lambda: ["a", "b"],
        lambda: {"x": 1, "y": 2},
        lambda: CombinedLoader([loader(), loader()]),
        list,
    ],
)
def test_one_loader_is_expected(loaders: Callable[[], Any]) -> None:
    with pytest.raises(MisconfigurationException, match="expected one loader.*ConcatDataset"):
        find(loaders())


def test_one_loader_in_a_list_will_do() -> None:
    only = loader()
    assert find([only]) is find({"pool": only}) is find(CombinedLoader([only])) is only


def test_a_datamodule_that_needs_setup_for_predict_is_an_error_that_says_so() -> None:
    class NotSetUp(LightningDataModule):
        def predict_dataloader(self) -> Any:
            return self.predict_data

    with pytest.raises(MisconfigurationException, match=r"NotSetUp.*predict_data.*setup\('predict"):
        find(datamodule=NotSetUp())

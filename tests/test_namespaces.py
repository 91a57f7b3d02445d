"""Objects of ``pytorch_lightning`` are accepted as those of ``lightning.pytorch`` are."""

from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from tiny import CLASSES, LIGHTNING_WARNINGS, QUIET, blobs, loader, mlp
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.callback.pool_source import pool_source
from lightning_badge.capture import capture
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.namespaces import lightning_classes, overrides
from lightning_badge.ordering import order

pl = pytest.importorskip("pytorch_lightning")
pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
]


class Old(pl.LightningModule):
    """Defines ``forward`` alone to run on a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Predicts(Old):
    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0] * 2)


def trainer(root: Path, *callbacks: Any, **arguments: Any) -> Any:
    return pl.Trainer(default_root_dir=root, callbacks=list(callbacks), **{**QUIET, **arguments})


@pytest.mark.parametrize(("kind", "scale"), [(Old, 1), (Predicts, 2)])
def test_a_fit_is_ordered_by_its_last_weights(tmp_path: Path, kind: type, scale: int) -> None:
    callback, model = BadgeCallback(pool=loader(20), seed=4), kind()
    trainer(tmp_path, callback, max_epochs=2).fit(model, loader(64), loader(16))
    embedding = capture(model.network, [loader(20).dataset.tensors[0] * scale])
    expected = order(embedding, seed=4)
    assert list(callback.ordering) == list(expected)
    np.testing.assert_allclose(callback.ordering.gains, expected.gains, rtol=1e-6)
    assert callback.n_orderings == 1


def test_validate_and_order_now(tmp_path: Path) -> None:
    callback, model = BadgeCallback(pool=loader(20), when="never"), Old()
    made = trainer(tmp_path, callback)
    made.validate(model, loader(16), verbose=False)
    first = list(callback.ordering)
    assert list(callback.order_now(made, model)) == first


@pytest.mark.parametrize("val", [None, blobs(12)])
def test_the_datamodule(tmp_path: Path, val: Any) -> None:
    datamodule = ActiveLearningDataModule(blobs(60), val, initial_labeled=20)
    callback, model = BadgeCallback("badge_labeled"), Old()
    made = trainer(tmp_path, callback)
    made.fit(model, datamodule=datamodule)
    assert sorted(callback.ordering) == datamodule.pool_ids.tolist()
    assert made.enable_validation == (val is not None)


def test_a_callback_that_was_made_before_the_import(tmp_path: Path) -> None:
    program = f"""
from lightning_badge import ActiveLearningDataModule, BadgeCallback
import sys
assert "pytorch_lightning" not in sys.modules
import pytorch_lightning as pl
assert issubclass(type(BadgeCallback()), pl.Callback)
assert issubclass(BadgeCallback, pl.Callback)
data = [([float(i)], i % 2) for i in range(10)]
assert isinstance(ActiveLearningDataModule(data, initial_labeled=2), pl.LightningDataModule)
pl.Trainer(callbacks=BadgeCallback(), logger=False, default_root_dir={str(tmp_path)!r})
"""
    done = forked.run_program(tmp_path, program)
    assert done.status == 0, done.err


def test_pools_of_a_module_and_in_a_combined_loader(tmp_path: Path) -> None:
    combined = pl.utilities.CombinedLoader([only := loader(20)])

    class Gives(Old):
        def predict_dataloader(self) -> Any:
            return combined

    assert pool_source(trainer(tmp_path), Gives())() is only
    with pytest.raises(Exception, match="found no pool"):
        pool_source(trainer(tmp_path), Old())


@pytest.mark.parametrize("bar", ["RichProgressBar", "TQDMProgressBar"])
def test_the_progress_bar_is_joined(
    tmp_path: Path, bar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = getattr(pl.callbacks, bar)()
    made = trainer(tmp_path, BadgeCallback(pool=loader(20)), bars, enable_progress_bar=True)
    made.fit(Old(), loader(64), loader(16))
    if bar == "RichProgressBar":
        assert "Pool" in [task.description for task in bars.progress.tasks]
    else:
        assert "Pool" in capsys.readouterr().out


def test_logged_numbers(tmp_path: Path) -> None:
    logger = pl.loggers.CSVLogger(tmp_path, name="run")
    trainer(tmp_path, BadgeCallback(pool=loader(20)), logger=logger, log_every_n_steps=1).fit(
        Old(), loader(64), loader(16)
    )
    assert "badge/pool_size" in (tmp_path / "run/version_0/metrics.csv").read_text()
    assert (tmp_path / "run/version_0/badge/ordering.parquet").is_file()


def test_classes_of_both_packages_are_found() -> None:
    assert lightning_classes("LightningModule") == (LightningModule, pl.LightningModule)
    assert lightning_classes("callbacks.NoSuchCallback") == ()


def test_what_a_class_overrides() -> None:
    class Own(LightningDataModule):
        def predict_dataloader(self) -> Any:
            return []

    assert overrides(Own(), "predict_dataloader")
    assert not overrides(LightningDataModule(), "predict_dataloader")
    assert not overrides(Old(), "predict_dataloader")
    assert not overrides(nn.Linear(1, CLASSES), "predict_dataloader")

import logging
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, loader, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import backend as backend_module
from lightning_badge.kernels import numba_pruned, registry
from lightning_badge.kernels.registry import resolve_backend

pytestmark = LIGHTNING_WARNINGS


class TestProcesses:
    def test_a_strategy_for_one_process_is_refused_before_training(self, tmp_path: Path) -> None:
        badge = BadgeCallback("batchbald")
        trainer = make_trainer(tmp_path, callbacks=[badge], devices=2, strategy="ddp")
        with pytest.raises(
            MisconfigurationException, match=r"'batchbald' cannot be computed by sev.*devices=1"
        ):
            badge.setup(trainer, Classifier(), "fit")

    def test_processes_that_share_one_batch_are_refused_by_name(self, tmp_path: Path) -> None:
        badge = BadgeCallback()
        trainer = make_trainer(tmp_path, callbacks=[badge], devices=2, strategy=TensorParallel())
        with pytest.raises(MisconfigurationException, match=r"2 processes with TensorParallel"):
            badge.setup(trainer, Classifier(), "fit")

    def test_processes_that_are_not_running_cannot_order(self, tmp_path: Path) -> None:
        badge = BadgeCallback(pool=loader(8))
        trainer = make_trainer(tmp_path, callbacks=[badge], devices=2, strategy="ddp")
        with pytest.raises(MisconfigurationException, match="not running now; order in fit"):
            badge.order_now(trainer, Classifier())


class TensorParallel(SingleDeviceStrategy):
    """Stands in for tensor parallelism, whose Lightning strategy needs GPUs."""

    world_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.world_size = 2


def test_a_backend_of_another_device_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    trainer = make_trainer(tmp_path, callbacks=[BadgeCallback(backend="triton")])
    with pytest.raises(MisconfigurationException, match="on cpu; backend='torch' computes anyw"):
        trainer.callbacks[0].setup(trainer, Classifier(), "fit")


@pytest.mark.parametrize("when", ["last_validation", "never"])
def test_a_backend_that_does_not_work_is_found_before_training(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(numba_pruned, "LEAST_ROWS", 0)
    monkeypatch.setattr(numba_pruned, "_fault", lambda: "does not work here (ImportError: x)")
    registry._warn_once.cache_clear()
    said: list[list[str]] = []

    def warnings() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    class AtStart(Callback):
        def on_train_start(self, *_: object) -> None:
            said.append(warnings())

    badge = BadgeCallback(when=when, dirpath=tmp_path)
    trainer = make_trainer(tmp_path, callbacks=[badge, AtStart()])
    datamodule = ActiveLearningDataModule(blobs(40), blobs(9), initial_labeled=8)
    trainer.fit(Classifier(), datamodule)
    trainer.validate(Classifier(), datamodule, verbose=False)
    sentence = "backend='auto': numba does not work here (ImportError: x); torch computes instead"
    assert said == [[sentence]]
    assert warnings() == [sentence]
    assert badge.ordering is not None
    assert badge.ordering.metadata["backend"] == "torch"
    with pytest.raises(BadgeError, match="'numba' does not work here"):
        resolve_backend("numba")

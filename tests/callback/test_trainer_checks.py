from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import SingleDeviceStrategy
from tiny import LIGHTNING_WARNINGS, Classifier, loader, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.kernels import backend as backend_module

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

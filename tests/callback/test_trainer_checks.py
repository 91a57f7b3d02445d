from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from tiny import LIGHTNING_WARNINGS, Classifier, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.kernels import backend as backend_module

pytestmark = LIGHTNING_WARNINGS


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

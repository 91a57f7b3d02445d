"""The numbers of steps and validations are those of a real fit; sizes are those of real files."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from lightning_badge.app.check.cost import _steps, _validations, measure
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.models import MLP

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class Count(Callback):
    def __init__(self) -> None:
        self.validations = 0

    def on_validation_end(self, *_: Any) -> None:
        self.validations += 1


@pytest.fixture
def datamodule() -> ActiveLearningDataModule:
    torch.manual_seed(0)
    data = [(torch.randn(5), n % 2) for n in range(90)]
    return ActiveLearningDataModule(
        data, data[:20], initial_labeled=30, labels=[n % 2 for n in range(90)], batch_size=8
    )


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*log_every_n_steps")
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
@pytest.mark.parametrize(
    "limits",
    [
        {"max_steps": 12, "val_check_interval": 5, "check_val_every_n_epoch": None},
        {"max_steps": 3, "val_check_interval": 5, "check_val_every_n_epoch": None},
        {"max_steps": 10, "max_epochs": -1},
        {"max_epochs": 3},
        {"max_epochs": 6, "check_val_every_n_epoch": 2},
        {"max_epochs": 4, "accumulate_grad_batches": 2},
        {"max_epochs": 2, "val_check_interval": 0.5},
    ],
)
def test_steps_and_validations_are_those_of_a_fit(
    datamodule: ActiveLearningDataModule, limits: dict[str, Any]
) -> None:
    count = Count()
    trainer = Trainer(**QUIET, **limits, callbacks=[count])
    batches = len(datamodule.train_dataloader())
    steps = _steps(trainer, batches)
    planned = _validations(trainer, steps, batches)
    trainer.fit(MLP(2, 5), datamodule=datamodule)
    assert steps == trainer.global_step
    assert planned == count.validations + 1  # that of the best checkpoint


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec")
@pytest.mark.filterwarnings("ignore:.*limit_val_batches")
def test_a_round_is_measured_without_a_trace(
    datamodule: ActiveLearningDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = datamodule.labeled_ids.tolist()
    make_trainer = partial(Trainer, **{**QUIET, "max_steps": 100})
    model = MLP(2, 5)
    cost = measure(
        model,
        lambda **changes: make_trainer(**changes),
        datamodule,
        strategy={"name": "badge"},
        ranks=None,
        head=None,
        loss="auto",
    )
    assert (cost.steps, cost.measured_on) == (100, 60)
    assert cost.total_s is not None
    assert cost.total_s > 0
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert weights < cost.checkpoint_bytes < weights + 20_000
    assert datamodule.labeled_ids.tolist() == before
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_without_a_limit_has_no_number_of_steps() -> None:
    assert _steps(Trainer(**QUIET, max_epochs=-1), 5) is None

"""What would fail after an epoch fails before the first step, and a trial leaves no trace."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tiny import LIGHTNING_WARNINGS, WIDTH, Classifier, blobs, fit, loader, make_trainer, mlp
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import BadgeError
from lightning_badge.pool_batch import PoolBatch

pytestmark = LIGHTNING_WARNINGS


class Reads(Dataset[Any]):
    """Counts how many of its items were read."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, position: int) -> Any:
        self.reads += 1
        return blobs(40)[position]


class Steps(Classifier):
    """Counts its batches of training and validation."""

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__(network)
        self.batches = 0

    def loss(self, batch: Any) -> Tensor:
        self.batches += 1
        return super().loss(batch)


class Attention(nn.Module):
    """Has weights and no linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Named(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, position: int) -> dict[str, Any]:
        return {"x": blobs(20)[position][0], "name": f"s{position}"}


class Permuted(IterableDataset[Tensor]):
    """A stream in another order at every read."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter(blobs(20).tensors[0][torch.randperm(20)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "network.9"}, "head='network.9': no module of the model has this name"),
        ({"pool": loader(20, shuffle=True)}, "the pool's loader shuffles"),
        ({"pool": loader(20, drop_last=True)}, "drops its last batch, 4 of 20 samples"),
        ({"pool": DataLoader(Permuted(), 8)}, "first batch differs between two reads"),
        ({"pool": DataLoader(Named(), 8), "sample_id_key": "id"}, "sample_id_key='id'"),
        ({"loss": "cross_entropy", "model": Steps(mlp(1))}, "cross_entropy needs two classes"),
        ({"model": Steps(Attention())}, "the model has no linear layer"),
    ],
)
def test_errors_of_the_pool_come_before_the_first_step(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    model = arguments.pop("model", None) or Steps()
    with pytest.raises(BadgeError, match=message):
        fit(tmp_path, BadgeCallback(**{"pool": loader(20), **arguments}), model=model)
    assert model.batches == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [{"drop_last": True}, {"shuffle": True}])
def test_without_an_ordering_in_fit_nothing_is_tried(
    tmp_path: Path, arguments: dict[str, Any]
) -> None:
    fit(tmp_path, BadgeCallback(pool=loader(20, **arguments), when="never"))


def test_a_loader_that_drops_no_sample_may_drop_its_last_batch(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(32, drop_last=True))
    fit(tmp_path, callback)
    assert len(callback.ordering) == 32


class WhatATrialMayNotTouch(Callback):
    """Compares what it finds before and after another callback's hook."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.states.append(
            {
                "weights": {name: v.tolist() for name, v in pl_module.state_dict().items()},
                "modes": [part.training for part in pl_module.modules()],
                "hooks": [len(part._forward_hooks) for part in pl_module.modules()],
                "gradients": [weight.grad for weight in pl_module.parameters()],
                "optimizer": str(trainer.optimizers[0].state_dict()),
                "torch": torch.get_rng_state().tolist(),
                "numpy": np.random.get_state()[1].tolist(),
                "python": random.getstate(),
                "grad": torch.is_grad_enabled(),
                "steps": trainer.global_step,
                "files": list(Path(trainer.default_root_dir).iterdir()),
                "logged": dict(trainer.logged_metrics),
            }
        )


class Draws(Classifier):
    def __init__(self) -> None:
        network = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        network[1].eval()
        super().__init__(network)

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(1), np.random.rand(), random.random()
        return self.network(x)

    def predict_dataloader(self) -> Any:
        torch.rand(1)
        return loader(20)


def test_a_trial_leaves_everything_as_it_was(tmp_path: Path) -> None:
    before, after = WhatATrialMayNotTouch(), WhatATrialMayNotTouch()

    class Watched(BadgeCallback):
        def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
            super().on_fit_start(trainer, pl_module)
            found.append((self.ordering, self.embedding, self.n_orderings))

    found: list[Any] = []
    callbacks = [before, Watched(keep_embedding=True), after]
    trainer = make_trainer(tmp_path, callbacks=callbacks, max_epochs=0)
    trainer.fit(Draws(), loader(64), loader(16))
    assert before.states == after.states
    assert found == [(None, None, 0)]


def test_a_trial_reads_one_batch(tmp_path: Path) -> None:
    data = Reads()
    fit(tmp_path, BadgeCallback(pool=DataLoader(data, batch_size=5)), max_epochs=0)
    # A batch for the model, one for the targets, and twelve items twice to see that they are fixed.
    assert 5 <= data.reads < 40 + 2 * 12


def test_a_pool_that_can_be_read_only_once_is_not_tried(tmp_path: Path) -> None:
    def batches() -> Iterator[Any]:
        for start in range(0, 20, 10):
            rows = blobs(20).tensors[0][start : start + 10]
            yield PoolBatch([f"s{start + row}" for row in range(10)], rows)

    callback = BadgeCallback(pool=batches())  # type: ignore[arg-type]
    fit(tmp_path, callback)
    assert len(callback.ordering) == 20


def test_an_empty_pool_is_not_tried(tmp_path: Path) -> None:
    fit(tmp_path, BadgeCallback(pool=DataLoader([])), max_epochs=0)

"""What has no gradient embedding is refused in the same words, whichever strategy asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from tiny import CLASSES, LIGHTNING_WARNINGS, Classifier, make_trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import HeadError
from lightning_badge.ordering import STRATEGIES

pytestmark = LIGHTNING_WARNINGS

N, LABELED, TOKENS, WIDTH = 20, 6, 3, 5
POOL_FIRST = "one vector for each sample: pool tokens or positions, by their mean for instance"


class NormLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.normalize(x), functional.normalize(self.weight))


def token_head() -> nn.Module:
    return nn.Sequential(nn.Dropout(), nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def pooled_after_the_head() -> nn.Module:
    class Mean(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).mean(1)

    return Mean(nn.Dropout(), nn.Linear(WIDTH, CLASSES))


def spatial_head() -> nn.Module:
    maps = nn.Sequential(nn.Unflatten(2, (1, WIDTH)), nn.Conv2d(TOKENS, 8, 3, padding=1))
    return nn.Sequential(maps, nn.Dropout(), nn.Conv2d(8, CLASSES, 1))


def normalized_head() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(), NormLinear(TOKENS * WIDTH, CLASSES))


def no_logits() -> nn.Module:
    class Distances(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x.flatten(1), torch.eye(CLASSES, TOKENS * WIDTH))

    return nn.Sequential(nn.Dropout(), Distances())


MODELS: list[tuple[Callable[[], nn.Module], str]] = [
    (token_head, POOL_FIRST),
    (pooled_after_the_head, POOL_FIRST),
    (spatial_head, POOL_FIRST),
    (normalized_head, "NormLinear.*normalized ones and others are refused"),
    (no_logits, "none did; the model has no linear layer"),
]


def samples() -> Any:
    x = torch.randn(N, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, torch.arange(N) % CLASSES)


class NotValidated(Classifier):
    """A head on tokens has no loss that fits the pool's labels."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


def refusal(root: Path, model: LightningModule, strategy: str) -> str:
    callback = BadgeCallback(strategy=strategy, dirpath=root)
    trainer = make_trainer(root, callbacks=[callback])
    datamodule = ActiveLearningDataModule(samples(), samples(), initial_labeled=LABELED)
    with pytest.raises(HeadError) as caught:
        trainer.validate(model, datamodule=datamodule, verbose=False)
    assert not list(root.iterdir())
    return str(caught.value)


@pytest.mark.parametrize(("make", "message"), MODELS)
def test_every_strategy_refuses_alike(
    tmp_path: Path, make: Callable[[], nn.Module], message: str
) -> None:
    model = NotValidated(make())
    said = {refusal(tmp_path, model, strategy) for strategy in STRATEGIES}
    with pytest.raises(HeadError, match=message) as caught:
        capture(model.network, [samples().tensors[0][: N - LABELED]])
    # Without the LightningModule around it the network's layers have shorter names.
    assert len(said) == 1
    assert said.pop().replace("network.", "") == str(caught.value).replace("network.", "")

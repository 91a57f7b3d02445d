"""Errors of the user's model on the pool: one line says how it was called and what to change."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, fit, loader, validate
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.exceptions import CaptureError

pytestmark = LIGHTNING_WARNINGS


class NeedsMask(Classifier):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.network(x * mask)

    def loss(self, batch: Any) -> Tensor:
        return functional.cross_entropy(self(batch[0], torch.ones(1)), batch[1])


class ScoresInPredict(Classifier):
    """Computes the loss in ``predict_step``, too, where an unlabeled sample has the label -1."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.loss(batch)
        return self(batch[0])


class FlattensItself(Classifier):
    def forward(self, x: Any) -> Tensor:
        return self.network(x.flatten(1))


def unlabeled(n: int = 20) -> DataLoader[Any]:
    x = blobs(n).tensors[0]
    return DataLoader(torch.utils.data.TensorDataset(x, torch.full((n,), -1)), batch_size=8)


def dicts() -> DataLoader[Any]:
    items: Any = [{"image": row, "name": str(n)} for n, row in enumerate(blobs(20).tensors[0])]
    return DataLoader(items, batch_size=8)


@pytest.mark.parametrize(
    ("model", "pool", "message"),
    [
        (
            NeedsMask,
            loader(20),
            r"NeedsMask.forward failed on batch 0 of the pool, a list of 2: TypeError: .*mask",
        ),
        (ScoresInPredict, unlabeled(), r"ScoresInPredict.predict_step failed on .*IndexError"),
        (
            FlattensItself,
            dicts(),
            r"forward failed .* a dict with 'image', 'name': AttributeError: .*no attribute 'fla",
        ),
    ],
)
def test_come_before_training_and_say_how_to_change_the_call(
    tmp_path: Path, model: type[Classifier], pool: Any, message: str
) -> None:
    for run in (fit, validate):
        with pytest.raises(CaptureError, match=message) as raised:
            run(tmp_path, BadgeCallback(pool=pool), model=model())
        said = str(raised.value)
        assert "\n" not in said
        assert "by predict_step(batch, batch_idx) where its class overrides that" in said
        assert said.endswith("define predict_step to run it in another way")
        assert raised.value.__cause__ is not None


def test_without_a_trainer_they_say_the_same() -> None:
    with pytest.raises(CaptureError, match="NeedsMask.forward failed on batch 0 of the pool"):
        capture(NeedsMask(), loader(20))


class RunsOutOfMemory(Classifier):
    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_full_memory_is_no_error_of_the_model() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        capture(RunsOutOfMemory(), loader(20))

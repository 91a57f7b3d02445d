"""Captures small pools, and says what should have been captured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from tiny import Classifier, attached, blobs
from tiny import make_trainer as bare_trainer
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.pool import capture_pool


def capture(model: LightningModule, pool: Any, root: Path = Path(), **arguments: Any) -> Any:
    trainer_arguments = arguments.pop("trainer", {})
    trainer = attached(bare_trainer(root, **trainer_arguments), model)
    return capture_pool(trainer, model, pool, **arguments)


def expected(model: Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what enters and leaves the head of a `Classifier` around an ``mlp``."""
    model.eval()
    with torch.no_grad():
        penultimate = model.network[:-1](x)
        return penultimate, model.network[-1](penultimate)


def assert_captured(captured: CapturedPool, model: Classifier, x: Tensor) -> None:
    penultimate, logits = expected(model, x)
    torch.testing.assert_close(captured.penultimate, penultimate)
    torch.testing.assert_close(captured.logits, logits)


class Dicts(Dataset[dict[str, Any]]):
    """Samples as dicts, with ids of their own and an entry that no model takes."""

    def __init__(self, ids: list[Any]) -> None:
        self.ids = ids
        self.x = blobs(len(ids)).tensors[0]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return {"id": self.ids[position], "x": self.x[position], "note": "unused"}


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(blobs(20).tensors[0])

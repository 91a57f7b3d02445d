"""A small model with a decoy beside its head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_badge.capture.head import find_head

N, CLASSES = 6, 4


class TwoLayers(nn.Module):
    """A hidden layer, a decoy that runs last, and the head; ``finish`` makes what is returned."""

    def __init__(self, finish: Callable[[Tensor], Any] = lambda logits: logits, c: int = CLASSES):
        super().__init__()
        self.hidden = nn.Linear(5, 8)
        self.fc = nn.Linear(8, c)
        self.decoy = nn.Linear(8, c)
        self.unused = nn.Linear(8, c)
        self.finish = finish

    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(x).relu()
        logits = self.fc(hidden)
        self.decoy(hidden)
        return self.finish(logits)


def inputs() -> Tensor:
    return torch.randn(N, 5, generator=torch.Generator().manual_seed(0))


def find(model: nn.Module, head: str | None = None, x: Tensor | None = None) -> Any:
    x = inputs() if x is None else x
    return find_head(model, lambda: model(x), head)

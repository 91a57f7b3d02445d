"""What capturing a pool costs beside bare inference: the same model, loader and device."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_badge.capture import capture
from lightning_badge.examples.models import SmallCNN
from lightning_badge.examples.transformer import SmallTransformer

SAMPLES, BATCH = 20_000, 256
CLASSES, PIXELS, TOKENS, VOCABULARY = 10, 28, 24, 2_000


class Tokens(Dataset[dict[str, torch.Tensor]]):
    """Random texts as dicts of token ids and a mask."""

    def __init__(self, n: int) -> None:
        self.ids = torch.randint(VOCABULARY, (n, TOKENS))
        self.mask = torch.ones(TOKENS, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[position], "attention_mask": self.mask}


def print_capture(device: str, repeats: int, n: int = SAMPLES) -> None:
    """Prints medians and minima of capture and of bare inference over the same pool.

    Args:
        device: Where the models are.
        repeats: Of each; the two run in turn.
        n: Samples in the pool.
    """
    torch.manual_seed(0)
    images = TensorDataset(torch.rand(n, 1, PIXELS, PIXELS), torch.arange(n) % CLASSES)
    contestants: dict[str, tuple[nn.Module, Dataset[Any]]] = {
        "SmallCNN": (SmallCNN(CLASSES), images),
        "SmallTransformer": (SmallTransformer(CLASSES, VOCABULARY, TOKENS), Tokens(n)),
    }
    for name, (model, data) in contestants.items():
        loader = DataLoader(data, batch_size=BATCH)
        _compare(name, model.to(device).eval(), loader, repeats)


def _compare(name: str, model: nn.Module, loader: DataLoader[Any], repeats: int) -> None:
    device = next(model.parameters()).device

    def infer() -> None:
        with torch.no_grad():
            for batch in loader:
                if isinstance(batch, dict):
                    model(**{key: value.to(device) for key, value in batch.items()})
                else:
                    model(batch[0].to(device))

    def embed() -> None:
        capture(model, loader)

    runs: dict[str, Callable[[], None]] = {"inference": infer, "capture": embed}
    took: dict[str, list[float]] = {kind: [] for kind in runs}
    for repeat in range(repeats + 1):
        for kind, run in runs.items():
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat:  # the first of each warms up
                took[kind].append(time.perf_counter() - started)
    ratios = [one / other for one, other in zip(took["capture"], took["inference"], strict=True)]
    for kind, seconds in took.items():
        print(f"{name}, {kind}: median {median(seconds):.3f} s, minimum {min(seconds):.3f} s")
    least = min(took["capture"]) / min(took["inference"])
    print(f"{name}: capture costs {median(ratios):.3f} times inference (of minima {least:.3f})")

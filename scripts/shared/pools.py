"""Pools for the benchmark: synthetic, or MNIST embeddings of a small CNN trained on demand."""

from functools import cache
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge import GradientEmbedding
from lightning_badge.embedding_files import read_embedding
from lightning_badge.examples.huggingface import huggingface

POOLS = ("mnist", "file", "concentrated", "random", "copies", "clusters", "wide")
WIDTH, CLASSES = 256, 10
WIDE, MANY_CLASSES = 2048, 1000
ROW_BLOCK = 65_536


def make_pool(
    kind: str, n: int, device: str, mnist: Path | None, file: Path | None = None
) -> GradientEmbedding:
    """Returns ``n`` rows of width 256 with 10 classes; for ``wide``, width 2,048 with 1,000.

    Args:
        kind: ``mnist``: embeddings of MNIST, above 60,000 rows also of shifted images. ``file``:
            the first rows of a file, with its width and classes.
            ``concentrated``: most rows near the origin as in MNIST, but random directions.
            ``random``: normally distributed. ``copies``: each row four times. ``clusters``: ten
            tight clusters. ``wide``: like ``concentrated`` with larger width and more classes.
        n: Number of rows.
        device: Device of the result.
        mnist: Folder of MNIST, needed for ``mnist``.
        file: File with ``penultimate`` and ``logits``, needed for ``file``.
    """
    if kind == "file":
        if file is None:
            raise SystemExit("error: --data file needs --embeddings FILE")
        return read_embedding(file=file).take(slice(0, n)).to(device)
    if kind == "mnist":
        if mnist is None:
            raise SystemExit("error: --data mnist needs --mnist DIR")
        activations, logits = mnist_activations(mnist, -(-n // 60_000))
        return embed(activations[:n], logits[:n], device)
    generator = torch.Generator().manual_seed(0)
    distinct = -(-n // 4) if kind == "copies" else n
    width, classes = (WIDE, MANY_CLASSES) if kind == "wide" else (WIDTH, CLASSES)
    label = torch.randint(0, classes, (distinct,), generator=generator)
    means = torch.randn(classes, width, generator=generator).relu()
    noise = {"clusters": 1e-2}.get(kind, 1.0)
    activations = torch.empty(distinct, width)
    # In blocks, so that this function does not determine the benchmark's peak memory.
    for rows in torch.split(torch.arange(distinct), ROW_BLOCK):
        block = noise * torch.randn(len(rows), width, generator=generator)
        activations[rows] = (block if kind == "random" else block + means[label[rows]]).relu_()
    logits = torch.randn(distinct, classes, generator=generator) * noise
    if kind in ("concentrated", "wide"):
        logits[torch.arange(distinct), label] += 3 + 8 * torch.rand(distinct, generator=generator)
    elif kind != "random":
        logits[torch.arange(distinct), label] += 6
    if kind == "copies":
        activations, logits = (rows.repeat(4, 1)[:n] for rows in (activations, logits))
    return embed(activations, logits, device)


def embed(activations: Tensor, logits: Tensor, device: str) -> GradientEmbedding:
    """Returns the gradient embedding on ``device``."""
    return GradientEmbedding.from_logits(activations.contiguous(), logits.contiguous()).to(device)


@cache
def mnist_activations(folder: Path, shifts: int = 1) -> tuple[Tensor, Tensor]:
    """Trains a small CNN on half of MNIST without 0 and 1, and embeds all 60,000 images.

    Args:
        folder: Folder of MNIST.
        shifts: Number of versions of the images to embed, at most 25: the original, then versions
            shifted by up to two pixels in each direction.
    """
    datamodule = huggingface(str(folder), initial_labeled=[], eval_batch_size=2000)
    batches = [batch.batch for batch in datamodule.pool_dataloader()]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 36, WIDTH),
        nn.ReLU(),
    )
    head = nn.Linear(WIDTH, CLASSES)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 1e-3)
    seen = ((torch.arange(len(labels)) < len(labels) // 2) & (labels > 1)).nonzero().squeeze(1)
    for _ in range(3):
        for batch in torch.split(seen[torch.randperm(len(seen))], 128):
            loss = functional.cross_entropy(head(body(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        offsets = sorted(product(range(-2, 3), repeat=2), key=lambda offset: max(map(abs, offset)))
        parts = [
            body(part.roll(offset, dims=(2, 3)))
            for offset in offsets[:shifts]
            for part in torch.split(images, 2000)
        ]
        activations = torch.cat(parts)
        return activations, head(activations)

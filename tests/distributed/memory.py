"""Orders a synthetic pool on several processes and prints each one's peak memory in bytes."""

import re
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from lightning_badge import GradientEmbedding
from lightning_badge.ordering import order
from lightning_badge.peers import Peers
from lightning_badge.shard import Shard

N, WIDTH, CLASSES, BATCH, K = 400_000, 256, 10, 1_000, 500


def peak() -> int:
    """Returns the peak in bytes; that of `resource` begins with the peak of who started this."""
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def main(rank: int, world: int, store: str) -> None:
    torch.set_num_threads(1)
    order(GradientEmbedding.from_dense(torch.rand(5000, 4)), k=70)  # imports and compiles
    before = peak()
    peers = Peers()
    if world > 1:
        dist.init_process_group(
            "gloo", f"file://{store}", timedelta(minutes=20), world_size=world, rank=rank
        )
        peers = Peers(dist.group.WORLD)
    own = range(rank, N // BATCH, world)
    penultimate, logits = (
        torch.empty(len(own) * BATCH, WIDTH),
        torch.empty(len(own) * BATCH, CLASSES),
    )
    for place, number in enumerate(own):
        generator = torch.Generator().manual_seed(number)
        rows = slice(place * BATCH, (place + 1) * BATCH)
        penultimate[rows] = torch.rand(BATCH, WIDTH, generator=generator)
        logits[rows] = torch.randn(BATCH, CLASSES, generator=generator)
    ids = np.concatenate([np.arange(number * BATCH, (number + 1) * BATCH) for number in own])
    pool = GradientEmbedding.from_logits(penultimate, logits, sample_ids=ids)
    if world > 1:
        object.__setattr__(pool, "shard", Shard.in_turns([BATCH] * len(own), peers))
    ordering = order(pool, k=K, seed=1)
    print(peak() - before, ordering.sample_ids[:20].tolist())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

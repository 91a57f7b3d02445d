"""Strong scaling: the same pool, ordered by one process and by several of this machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_files import read_embedding
from lightning_badge.ordering import order
from lightning_badge.peers import Peers
from lightning_badge.shard import Shard

BATCH = 64


def print_scaling(file: Path, k: int | None, worlds: list[int], repeats: int) -> None:
    """Prints the seconds of ``badge`` for each number of processes, with one thread each.

    Args:
        file: A pool of embeddings.
        k: Number of ranks; None for all.
        worlds: Numbers of processes.
        repeats: Orderings of each; the median and the minimum are printed.
    """
    for world in worlds:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "seconds.pt"
            arguments = (world, str(Path(folder) / "store"), file, k, repeats, results)
            spawn(_order, arguments, nprocs=world)  # type: ignore[no-untyped-call]
            seconds = torch.load(results)
        print(
            f"{world} processes, 1 thread each: median {statistics.median(seconds):.2f} s, "
            f"minimum {min(seconds):.2f} s"
        )


def _order(
    rank: int, world: int, store: str, file: Path, k: int | None, repeats: int, results: Path
) -> None:
    torch.set_num_threads(1)
    pool = read_embedding(file=file)
    if world > 1:
        dist.init_process_group(
            "gloo", f"file://{store}", timedelta(minutes=30), world_size=world, rank=rank
        )
        pool = _part_of(pool, Peers(dist.group.WORLD))
    order(pool, k=100)  # compiles
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        order(pool, k=k)
        seconds.append(time.perf_counter() - began)
    if rank == 0:
        torch.save(seconds, results)


def _part_of(pool: GradientEmbedding, peers: Peers) -> GradientEmbedding:
    """Returns this process's batches of a pool that every process has read."""
    own = torch.split(torch.arange(len(pool)), BATCH)[peers.rank :: peers.size]
    rows = torch.cat(own)
    shard = Shard.in_turns([len(batch) for batch in own], peers)
    return GradientEmbedding(
        pool.logit_grad[rows],
        pool.penultimate[rows],
        pool.sq_norm[rows],
        pool.sample_ids[rows.numpy()],
        loss=pool.loss,
        shard=shard,
    )

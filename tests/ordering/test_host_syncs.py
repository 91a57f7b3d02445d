"""On a GPU, the torch back end needs a few host syncs per block, not one per center."""

import json
from pathlib import Path
from typing import Any

import forked
import pytest

SCRIPT = """
import dataclasses, json, sys
import torch
from pretend_gpu import on_gpu, pretend_gpu
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering, order

strategy, n = sys.argv[1], 2000
generator = torch.Generator().manual_seed(0)
rows = torch.randint(0, 50, (n, 6), generator=generator).float()
pool = GradientEmbedding.from_dense(rows)
there = order(pool, strategy, backend="torch")
with pretend_gpu() as syncs:
    tensors = {name: on_gpu(tensor) for name, tensor in pool._tensors().items()}
    lazy = LazyOrdering(dataclasses.replace(pool, **tensors), strategy, backend="torch")
    here = lazy.take()
    blocks = lazy.counters.blocks
print(json.dumps({
    "same": bool((here.sample_ids == there.sample_ids).all()),
    "gains": bool((here.gains[1:] == there.gains[1:]).all()),
    "syncs": sum(syncs.values()),
    "blocks": blocks,
    "positive": int((there.gains > 0).sum()),
}))
"""


def run(strategy: str, folder: Path) -> dict[str, Any]:
    done = forked.run_program(folder, SCRIPT, strategy)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "per_block"), [("badge", 16), ("kmeans_pp_penultimate", 16)])
def test_a_block_needs_few_host_syncs_and_equals_the_cpu(
    strategy: str, per_block: int, tmp_path: Path
) -> None:
    found = run(strategy, tmp_path)
    assert found["same"]
    assert found["gains"]
    assert found["blocks"] > 5
    assert found["syncs"] < per_block * found["blocks"] < found["positive"]


@pytest.mark.slow
def test_k_center_needs_fewer_host_syncs_than_picks(tmp_path: Path) -> None:
    found = run("coreset", tmp_path)
    assert found["same"]
    assert found["syncs"] < found["positive"] / 4

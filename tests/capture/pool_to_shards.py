"""Embeds a small pool into a folder: the process that tests kill.

``python pool_to_shards.py FOLDER LOG [KILL_AT] [WIDTH]`` appends the number of each batch that the
model runs on to LOG, and kills itself with SIGKILL where the model runs for the KILL_AT-th time.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_badge.capture import capture_to

N, BATCH, PER_SHARD = 103, 8, 2


class Logged(nn.Module):
    """An MLP that notes what it runs on."""

    def __init__(self, log: Path, kill_at: int | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.log, self.kill_at, self.runs = log, kill_at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with self.log.open("a") as file:
            file.write(f"{int(x[0, 0]) // BATCH}\n")
        logits: Tensor = self.head(torch.relu(self.body(x)))
        return logits


def pool() -> TensorDataset:
    x = torch.randn(N, 4, generator=torch.Generator().manual_seed(1))
    x[:, 0] = torch.arange(N)
    return TensorDataset(x)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, log = map(Path, sys.argv[1:3])
    kill_at = int(sys.argv[3]) if len(sys.argv) > 3 else None
    loader = DataLoader(pool(), batch_size=BATCH)
    capture_to(folder, Logged(log, kill_at), loader, batches_per_shard=PER_SHARD)

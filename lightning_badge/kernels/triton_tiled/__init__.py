"""The back end ``triton``: kernels for NVIDIA GPUs, bound by arithmetic, not by launches or memory.

- ``embed``: one pass over logits and activations, nothing between them in memory.
- ``update``: tiles of rows and centers that hold two sums, over classes and over the width, and
  write nothing but the minimum. A tile compares norms first, then the class sides, and multiplies
  the long sides only where one of its pairs may matter.
- ``settle``: in float64, what ``update`` cannot tell in float32.
- ``accept``: the sequential part of a block, on the device.

Only the modules of this folder import Triton, and they are imported on first use.
"""

import os
from shutil import which

import torch
from torch import Tensor

from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss

# From here on tensor cores make float32 products of TF32 ones; older GPUs were not compiled for.
LEAST_CAPABILITY = (8, 0)


class TritonBackend(Backend):
    """Computes in float32 on NVIDIA GPUs; interpreted anywhere under ``TRITON_INTERPRET=1``."""

    name = "triton"
    package = "triton"
    block_limit = 2048
    block_limit_large = 2048
    picks_farthest = True

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: float32, NVIDIA GPUs of compute capability 8.0 or more."""
        if dtype == torch.float64:
            return "computes in float32, but the embeddings are float64"
        if os.environ.get("TRITON_INTERPRET") == "1":
            return None if device.type in ("cpu", "cuda") else f"cannot be interpreted on {device}"
        if torch.version.hip is not None:
            return "is for NVIDIA GPUs, and this torch is built for ROCm"
        if device.type != "cuda":
            return f"is for NVIDIA GPUs, but the pool is on {device}"
        capability = torch.cuda.get_device_capability(device)
        if capability < LEAST_CAPABILITY:
            return (
                f"needs a GPU of compute capability {_dotted(LEAST_CAPABILITY)} or more, "
                f"and {device} has {_dotted(capability)}"
            )
        if "CC" not in os.environ and not (which("gcc") or which("clang")):
            return "needs a C compiler to start kernels: install gcc, or name one in CC"
        return None

    def preference(self, device: torch.device, n: int) -> int:
        """Preferred wherever the pool is on a GPU."""
        del n
        return 0 if device.type == "cpu" else 3

    def embed(self, penultimate: Tensor, logits: Tensor, *, loss: Loss) -> tuple[Tensor, Tensor]:
        """See `Backend.embed`."""
        from lightning_badge.kernels.triton_tiled import embed

        return embed.logit_grad_and_sq_norm(penultimate, logits, loss=loss)

    def row_order(self, rows: Factors, positions: Tensor) -> Tensor:
        """Orders by hallucinated label, then by norm: a tile is skipped as a whole."""
        order = super().row_order(rows, positions)
        return order[torch.argsort(rows.label[positions[order]], stable=True)]

    def update(
        self,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        centers: Factors,
        *,
        signed: bool = True,
        prune: bool = True,
        number: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> Work:
        """See `Backend.update`; ``starts`` is used where ``prune`` is off."""
        if not len(positions) or not len(centers):
            return Work(0, 0)
        from lightning_badge.kernels.triton_tiled import update

        number = None if number is None else number.to(positions.device)
        if prune:
            centers = centers.take(update.by_label_and_norm(centers, number))
        multiplied = update.update_min_sq_dist(
            min_sq_dist,
            rows,
            positions,
            centers,
            signed=signed,
            prune=prune,
            number=number,
            starts=starts,
        )
        return Work(len(positions) * len(centers), multiplied)

    def accept(
        self, sq_dist: Tensor, limit: Tensor, candidates: Factors, *, signed: bool = True
    ) -> Accepted:
        """See `Backend.accept`."""
        del signed
        from lightning_badge.kernels.triton_tiled import accept

        return Accepted(*accept.accept(sq_dist, limit, candidates))

    def pick_farthest(self, now: Tensor, cutoff: Tensor, candidates: Factors) -> Accepted:
        """See `Backend.pick_farthest`."""
        from lightning_badge.kernels.triton_tiled import accept

        return Accepted(*accept.pick_farthest(now, cutoff, candidates))


BACKEND = TritonBackend()


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))

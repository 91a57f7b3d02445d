"""The back end ``triton``: compute-bound kernels for NVIDIA GPUs.

- ``embed``: logit gradients and norms in one pass over logits and activations, without
  intermediate tensors in memory.
- ``update``: tiles of rows and centers that accumulate two inner products, over the classes and
  over the width, and write only the minimum. A tile tests bounds from the norms, then from the
  class products, and computes the products over the width only if a pair may lower a minimum.
- ``settle``: recomputes in float64 the tiles that ``update`` cannot resolve in float32.
- ``accept``: the sequential part of a block, on the device.

Only the modules of this folder import Triton, and they are imported on first use.
"""

import os
from shutil import which
from typing import Any

import torch
from torch import Tensor

from lightning_badge.kernels.backend import Accepted, Backend, Chosen, Drawn, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss
from lightning_badge.kernels.mass import Mass

# The first with TF32 tensor cores; CI does not compile the kernels for older GPUs.
LEAST_CAPABILITY = (8, 0)


class TritonBackend(Backend):
    """Float32 on NVIDIA GPUs; on the CPU in Triton's interpreter with ``TRITON_INTERPRET=1``."""

    name = "triton"
    package = "triton"
    block_limit = 2048
    block_limit_large = 2048
    picks_farthest = True
    compact_below_large = 7 / 8

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: float32 on NVIDIA GPUs of compute capability 8.0 or higher."""
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
                f"needs a GPU of compute capability {_dotted(LEAST_CAPABILITY)} or higher, "
                f"and {device} has {_dotted(capability)}"
            )
        if "CC" not in os.environ and not (which("gcc") or which("clang")):
            return "needs a C compiler to launch kernels: install gcc or set CC"
        return None

    def preference(self, device: torch.device, n: int) -> int:
        """See `Backend.preference`: the highest priority on a GPU."""
        del n
        return 0 if device.type == "cpu" else 3

    def embed(self, penultimate: Tensor, logits: Tensor, *, loss: Loss) -> tuple[Tensor, Tensor]:
        """See `Backend.embed`."""
        from lightning_badge.kernels.triton_tiled import embed

        return embed.logit_grad_and_sq_norm(penultimate, logits, loss=loss)

    def row_order(self, rows: Factors, positions: Tensor) -> Tensor:
        """Returns an order by hallucinated label, then norm, which lets whole tiles be skipped."""
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
        arranged: Any = None,
    ) -> Work:
        """See `Backend.update`; ``starts`` takes effect only without ``prune``."""
        del arranged
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

    def with_centers(
        self,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        slots: Tensor,
        *,
        signed: bool = True,
        prune: bool = True,
        number: Tensor | None = None,
        arranged: Any = None,
    ) -> tuple[Tensor, Work]:
        """See `Backend.with_centers`."""
        del arranged
        from lightning_badge.kernels.triton_tiled import centers, update

        min_sq_dist = min_sq_dist.clone()
        if not len(slots):
            return min_sq_dist, Work(0, 0)
        number = None if number is None else number.to(positions.device)
        taken, multiplied = centers.take(min_sq_dist, rows, positions, slots, number)
        update.update_min_sq_dist(
            min_sq_dist,
            rows,
            positions,
            taken,
            signed=signed,
            prune=prune,
            number=number,
            scale=rows.scale,
            multiplied=multiplied,
        )
        return min_sq_dist, Work(len(positions) * len(slots), multiplied)

    def mass(self, min_sq_dist: Tensor, n: int, order: Tensor | None = None) -> Mass:
        """See `Backend.mass`."""
        from lightning_badge.kernels.triton_tiled import draw

        return draw.mass(min_sq_dist, n, order)

    def draw(self, mass: Mass, uniforms: Tensor, min_sq_dist: Tensor, positions: Tensor) -> Drawn:
        """See `Backend.draw`."""
        from lightning_badge.kernels.triton_tiled import draw

        drawn, values = draw.draw(mass, uniforms, min_sq_dist, positions)
        return Drawn(drawn[0], drawn[1], values[0], values[1])

    def choose(
        self,
        mass: Mass,
        uniforms: Tensor,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Chosen:
        """See `Backend.choose`."""
        del signed
        from lightning_badge.kernels.triton_tiled import accept, draw

        drawn, (sq_dist, limit) = draw.draw(mass, uniforms, min_sq_dist, positions)
        _, gains, number, taken = accept.accept(sq_dist, limit, rows, drawn[1], drawn)
        slots, chosen = taken.unbind()
        return Chosen(slots, chosen, gains, number)

    def report(self, chosen: Chosen, before: Mass, after: Mass) -> Tensor:
        """See `Backend.report`."""
        from lightning_badge.kernels.triton_tiled import draw

        return draw.report(chosen, before, after)

    def accept(
        self,
        sq_dist: Tensor,
        limit: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Accepted:
        """See `Backend.accept`."""
        del signed
        from lightning_badge.kernels.triton_tiled import accept

        chosen, gains, number, _ = accept.accept(sq_dist, limit, rows, positions)
        return Accepted(chosen, gains, number)

    def pick_farthest(
        self, min_sq_dist: Tensor, cutoff: Tensor, rows: Factors, positions: Tensor
    ) -> Accepted:
        """See `Backend.pick_farthest`."""
        from lightning_badge.kernels.triton_tiled import accept

        return Accepted(*accept.pick_farthest(min_sq_dist, cutoff, rows, positions))


BACKEND = TritonBackend()


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))

"""The back end ``reference``: the specification of the kernels, dense, float64 and slow.

The tests compare every back end with it. ``backend="reference"`` is usable for tiny pools.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss
from lightning_badge.kernels.herding import Herding, HerdingCounters, Picked
from lightning_badge.kernels.similarity import GridRows, similarities


class ReferenceBackend(Backend):
    """Forms the outer products explicitly: ``n * c * h`` numbers."""

    name = "reference"

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: any device with float64."""
        del dtype
        return "needs float64, which MPS lacks" if device.type == "mps" else None

    def embed(self, penultimate: Tensor, logits: Tensor, *, loss: Loss) -> tuple[Tensor, Tensor]:
        """See `Backend.embed`; computes in float64 and converts the gradient at the end."""
        grad, sq_norm = logit_grad_and_sq_norm(penultimate, logits, loss=loss)
        return grad.to(torch.float64 if logits.dtype == torch.float64 else torch.float32), sq_norm

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
        """See `Backend.update`; every pair is multiplied."""
        del signed, prune, starts, arranged
        centers = centers.first(number)
        work = len(positions) * len(centers)
        if work:
            sq_dist = pairwise(_dense(rows.take(positions)), _dense(centers))
            torch.minimum(min_sq_dist, sq_dist.amin(dim=1), out=min_sq_dist)
        return Work(work, work)

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
        candidates = _dense(rows.take(positions))
        between = pairwise(candidates, candidates)
        now, accepted, gains = sq_dist.clone(), [], []
        for candidate in range(len(now)):
            if now[candidate] > limit[candidate]:
                accepted.append(candidate)
                gains.append(float(now[candidate]))
                now = torch.minimum(now, between[candidate])
        return Accepted.all_of(
            torch.tensor(accepted, dtype=torch.int64, device=now.device),
            torch.tensor(gains, dtype=torch.float64, device=now.device),
        )

    def herding(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> Herding:
        """See `Backend.herding`."""
        return NaiveHerding(rows, falloff, weights, counters)


class NaiveHerding(Herding):
    """All gains anew for each pick, from the ``[n, n]`` matrix of similarities."""

    def bounds_of(self, best: Tensor, candidates: Tensor, summands: Tensor) -> Tensor:
        """See `Herding.bounds_of`; the bounds are exact."""
        of_all = similarities(self.rows.take(candidates), self.rows.take(summands), self.falloff)
        above = (of_all - best[summands]).clamp(min=0).long()
        return (above * self.weights[summands]).sum(dim=1)

    def pick(self, best: Tensor, bounds: Tensor, at_most: int) -> Picked:
        """See `Herding.pick`."""
        bounds = bounds.clone()
        chosen, gains = [], []
        for _ in range(at_most):
            now = self.bounds(best).where(bounds >= 0, -1)
            gain, pick = now.amax(), (now == now.amax()).nonzero()[0]
            if gain <= 0:
                break
            chosen.append(pick)
            gains.append(gain[None])
            to_pick = similarities(self.rows, self.rows.take(pick), self.falloff)[:, 0]
            best, bounds[pick] = torch.maximum(best, to_pick), -1
        none = bounds[:0]
        return Picked(torch.cat([none, *chosen]), torch.cat([none, *gains]), best, bounds)

    def forget(self) -> None:
        """See `Herding.forget`: nothing is kept."""


BACKEND = ReferenceBackend()


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: str
) -> tuple[Tensor, Tensor]:
    """Returns dL/dlogits at the hallucinated label, and the squared norms of the outer products.

    Args:
        penultimate: ``[n, h]``.
        logits: ``[n, c]``.
        loss: ``cross_entropy`` or ``binary_cross_entropy``.

    Returns:
        ``[n, c]`` and ``[n]``, both float64.
    """
    logits, penultimate = logits.double(), penultimate.double()
    if loss == "cross_entropy":
        target = functional.one_hot(logits.argmax(dim=1), logits.shape[1])
        logit_grad = logits.softmax(dim=1) - target
    else:
        logit_grad = logits.sigmoid() - (logits > 0).double()
    return logit_grad, dense(logit_grad, penultimate).square().sum(dim=1)


def dense(logit_grad: Tensor, penultimate: Tensor) -> Tensor:
    """Returns the outer products ``[n, c * h]`` of ``[n, c]`` and ``[n, h]`` in float64."""
    return torch.einsum("nc,nh->nch", logit_grad.double(), penultimate.double()).flatten(1)


def pairwise(rows: Tensor, centers: Tensor) -> Tensor:
    """Returns squared distances ``[n, m]`` of dense rows ``[n, d]`` and centers ``[m, d]``."""
    columns = [(rows - center).square().sum(dim=1) for center in centers]
    return torch.stack(columns, dim=1) if columns else rows.new_zeros(len(rows), 0)


def min_sq_dist(rows: Tensor, centers: Tensor) -> Tensor:
    """Returns the squared distance ``[n]`` from each dense row ``[n, d]`` to its nearest center."""
    return pairwise(rows, centers).amin(dim=1)


def _dense(factors: Factors) -> Tensor:
    return dense(factors.logit_grad, factors.penultimate)

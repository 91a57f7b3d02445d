"""Squared distances between pairs of rows in float64, exactly 0 for copies."""

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors, row_sq_norm
from lightning_badge.kernels.precision import DIFFERENCE_FORM_BELOW, roundoff

# Pairs gathered at once; bounds the memory of the gathered rows.
PAIRS = 1024


def pairwise_sq_dist(rows: Factors, centers: Factors, *, known: Tensor | None = None) -> Tensor:
    """Returns squared distances ``[r, m]`` in float64, exactly 0 for copies.

    Args:
        rows: ``r`` rows.
        centers: ``m`` centers.
        known: Current squared distances ``[r]`` of the rows. Pairs that cannot lower them are
            returned as ``inf``, without the difference form.
    """
    inner = rows.logit_grad.double() @ centers.logit_grad.double().T
    inner *= rows.penultimate.double() @ centers.penultimate.double().T
    norms = rows.sq_norm[:, None] + centers.sq_norm[None, :]
    sq_dist = norms - 2.0 * inner
    near = sq_dist < DIFFERENCE_FORM_BELOW * norms
    if known is not None:
        beyond = sq_dist - roundoff(rows, torch.float64) * norms >= known[:, None]
        near &= ~beyond
        sq_dist.masked_fill_(beyond, torch.inf)
    row, center = near.nonzero(as_tuple=True)
    for pairs in torch.split(torch.arange(len(row), device=row.device), PAIRS):
        left, right = rows.take(row[pairs]), centers.take(center[pairs])
        sq_dist[row[pairs], center[pairs]] = difference_form(left, right)
    return sq_dist.clamp_(min=0.0)


def recompute_coincident(sq_dist: Tensor, left: Factors, right: Factors) -> Tensor:
    """Recomputes, in place, squared distances ``[p]`` of nearly coincident pairs.

    Args:
        sq_dist: Squared distance of each pair.
        left: First row of each pair, ``p`` rows.
        right: Second row of each pair, ``p`` rows.

    Returns:
        ``sq_dist``, where close pairs have the value of `difference_form`.
    """
    coincident = sq_dist < DIFFERENCE_FORM_BELOW * (left.sq_norm + right.sq_norm)
    if coincident.any():
        which = coincident.nonzero().squeeze(1)
        sq_dist[which] = difference_form(left.take(which), right.take(which))
    return sq_dist.clamp_(min=0.0)


def difference_form(left: Factors, right: Factors) -> Tensor:
    """Returns ``|a (x) h - a' (x) h'|^2`` of paired rows ``[p]`` without subtracting norms.

    Subtracting norms would cancel for nearly equal rows. Copies get exactly 0.
    """
    a, h = left.logit_grad.double(), left.penultimate.double()
    a_, h_ = right.logit_grad.double(), right.penultimate.double()
    s, t, u, v = (a + a_) / 2, a - a_, (h + h_) / 2, h - h_
    squares = row_sq_norm(s) * row_sq_norm(v) + row_sq_norm(t) * row_sq_norm(u)
    sq_dist: Tensor = squares + 2.0 * (s * t).sum(dim=1) * (u * v).sum(dim=1)
    return sq_dist.clamp_(min=0.0)

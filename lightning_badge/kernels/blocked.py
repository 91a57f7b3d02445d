"""The kernels in plain torch, in row blocks: CPU, CUDA, MPS."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_badge.kernels.factors import ROW_BLOCK, Factors, row_sq_norm

Loss: TypeAlias = Literal["cross_entropy", "binary_cross_entropy"]

# Below this share of N_i + N_c the factored form has lost half of float64's digits to cancellation.
DIFFERENCE_FORM_BELOW = 1e-9


def logit_grad(logits: Tensor, loss: Loss) -> Tensor:
    """Returns dL/dlogits ``[n, c]`` at the label that the logits ``[n, c]`` favour.

    No entry suffers cancellation: where a prediction is confident, ``softmax - one_hot`` would be
    mostly rounding in the one entry that matters.
    """
    if loss == "cross_entropy":
        grad = logits.softmax(dim=1)
        label = logits.argmax(dim=1, keepdim=True)
        grad.scatter_(1, label, 0.0)
        return grad.scatter_(1, label, -grad.sum(dim=1, keepdim=True))
    return torch.where(logits > 0, -1.0, 1.0).to(logits.dtype) * torch.sigmoid(-logits.abs())


def pairwise_sq_dist(rows: Factors, centers: Factors) -> Tensor:
    """Returns the squared distances ``[n, m]`` between factored embeddings, in float64.

    ``|a (x) h - a' (x) h'|^2 = |a|^2|h|^2 + |a'|^2|h'|^2 - 2 <a,a'><h,h'>`` (arXiv 2306.09910,
    appendix D); pairs that nearly coincide take the difference form, which gives exactly 0 for
    copies.
    """
    inner = (rows.logit_grad.double() @ centers.logit_grad.double().T) * (
        rows.penultimate.double() @ centers.penultimate.double().T
    )
    norms = rows.sq_norm[:, None] + centers.sq_norm[None, :]
    sq_dist = norms - 2.0 * inner
    row, center = (sq_dist < DIFFERENCE_FORM_BELOW * norms).nonzero(as_tuple=True)
    for pairs in torch.split(torch.arange(len(row), device=row.device), ROW_BLOCK):
        sq_dist[row[pairs], center[pairs]] = _difference_form(
            rows.take(row[pairs]), centers.take(center[pairs])
        )
    return sq_dist.clamp_(min=0.0)


def _difference_form(left: Factors, right: Factors) -> Tensor:
    """Returns ``|a (x) h - a' (x) h'|^2`` of paired rows ``[p]`` without subtracting norms."""
    a, h = left.logit_grad.double(), left.penultimate.double()
    a_, h_ = right.logit_grad.double(), right.penultimate.double()
    s, t, u, v = (a + a_) / 2, a - a_, (h + h_) / 2, h - h_
    squares = row_sq_norm(s) * row_sq_norm(v) + row_sq_norm(t) * row_sq_norm(u)
    return squares + 2.0 * (s * t).sum(dim=1) * (u * v).sum(dim=1)

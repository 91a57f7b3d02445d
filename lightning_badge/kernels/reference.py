"""The specification of the kernels: by definition, dense, float64, slow.

Nothing in the package calls this; the tests compare every back end with it.
"""

import torch
from torch import Tensor
from torch.nn import functional


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


def min_sq_dist(rows: Tensor, centers: Tensor) -> Tensor:
    """Returns the squared distance ``[n]`` from each dense row ``[n, d]`` to its nearest center."""
    return (rows[:, None, :] - centers[None, :, :]).square().sum(dim=2).amin(dim=1)

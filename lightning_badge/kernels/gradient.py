"""The loss gradient with respect to the logits, at the hallucinated label."""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Loss: TypeAlias = Literal["cross_entropy", "binary_cross_entropy"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


def logit_grad(logits: Tensor, loss: Loss) -> Tensor:
    """Returns dL/dlogits ``[n, c]`` at the predicted label of the logits ``[n, c]``.

    The entry of the predicted class is minus the sum of the other probabilities. For a confident
    prediction, ``softmax - one_hot`` would lose most of its digits there to cancellation.
    """
    if loss == "cross_entropy":
        grad = logits.softmax(dim=1)
        label = logits.argmax(dim=1, keepdim=True)
        grad.scatter_(1, label, 0.0)
        return grad.scatter_(1, label, -grad.sum(dim=1, keepdim=True))
    return torch.where(logits > 0, -1.0, 1.0).to(logits.dtype) * torch.sigmoid(-logits.abs())

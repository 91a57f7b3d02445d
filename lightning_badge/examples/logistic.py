"""Multinomial logistic regression with an L2 penalty, to convergence, by L-BFGS."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Where gradients of the mean loss count as zero.
TOLERANCE = 1e-6
_MOST_STEPS = 1000


@dataclass(frozen=True)
class Fit:
    """A linear classifier.

    Attributes:
        weight: ``[c, d]``, float64.
        bias: ``[c]``, float64.
        loss: Mean loss with the penalty.
        gradient: Largest entry of its gradient.
    """

    weight: Tensor
    bias: Tensor
    loss: float
    gradient: float

    @property
    def has_converged(self) -> bool:
        """Whether the gradient is as small as it should be."""
        return self.gradient <= 10 * TOLERANCE


def fit_logistic(
    features: Tensor,
    targets: Tensor,
    classes: int,
    *,
    l2: float,
    multilabel: bool = False,
    start: Fit | None = None,
    tolerance: float = TOLERANCE,
) -> Fit:
    """Minimises the mean loss plus ``l2 / (2 n) * (|weight|^2 + |bias|^2)``.

    The loss is cross entropy, or the sum over classes of binary cross entropies. The penalty
    includes the bias, so that a class without any label has a finite one. The problem is convex and
    nothing is drawn: equal arguments give equal results.

    Args:
        features: ``[n, d]``.
        targets: Classes ``[n]``, or 0 and 1 ``[n, classes]`` with ``multilabel``.
        classes: Their number.
        l2: Strength of the penalty, 1 / C of scikit-learn's ``LogisticRegression``; above 0.
        multilabel: Whether a sample may have several classes.
        start: Where to begin, such as the solution for fewer rows; None for zero.
        tolerance: The solver stops when no entry of the gradient is larger.

    Example:
        >>> fit = fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, l2=1.0)
        >>> fit.has_converged, bool(fit.weight[1] > 0)
        (True, True)
    """
    n, width = features.shape
    rows = functional.pad(features.double(), (0, 1), value=1.0)
    wanted = targets.double() if multilabel else functional.one_hot(targets, classes).double()
    weight = torch.zeros(classes, width + 1, dtype=torch.float64, device=features.device)
    if start is not None:
        weight.copy_(torch.cat([start.weight, start.bias[:, None]], dim=1))
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=_MOST_STEPS,
        max_eval=2 * _MOST_STEPS,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        logits = rows @ weight.T
        if multilabel:
            losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            residual = logits.sigmoid() - wanted
        else:
            losses = -wanted * logits.log_softmax(dim=1)
            residual = logits.softmax(dim=1) - wanted
        weight.grad = (residual.T @ rows + l2 * weight) / n
        return (losses.sum() + l2 / 2 * weight.square().sum()) / n

    with torch.no_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        loss = float(closure())
    assert weight.grad is not None
    return Fit(weight[:, :-1], weight[:, -1], loss, float(weight.grad.abs().max()))

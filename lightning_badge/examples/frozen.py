"""Heads over the features of a frozen encoder: logistic regression and a small MLP.

They are ordinary Lightning modules. A batch is a pair (features, targets).
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from lightning_badge.examples.logistic import fit_logistic
from lightning_badge.examples.models import Classifier

HEADS = ("logistic", "mlp")
_log = logging.getLogger(__name__)


class LogisticHead(Classifier):
    """Multinomial logistic regression with an L2 penalty, trained to convergence in one step.

    The first training step takes all batches of the training loader, solves the convex problem by
    L-BFGS in float64, and ends ``fit``, whatever number of steps or epochs the Trainer allows. The
    features are divided by the root mean square of their lengths over the labeled set, so that the
    default penalty fits features of any scale.

    Args:
        num_classes: Number of classes.
        in_features: Width of the features.
        l2: Strength of the penalty, as in `fit_logistic`.
        multilabel: Whether a sample may have several classes.
    """

    scale: Tensor

    def __init__(
        self, num_classes: int, in_features: int, l2: float = 0.01, multilabel: bool = False
    ) -> None:
        super().__init__(num_classes, lr=0.0, multilabel=multilabel)
        self.save_hyperparameters()
        if not l2 > 0:
            raise MisconfigurationException(f"model.l2: expected a number above 0, got {l2!r}")
        self.l2 = float(l2)
        self.register_buffer("scale", torch.ones(()))
        self.head = nn.Linear(in_features, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.automatic_optimization = False

    def forward(self, features: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of features ``[b, in_features]``."""
        logits: Tensor = self.head(features.flatten(1).float() * self.scale)
        return logits

    def training_step(self, batch: Any) -> Tensor:  # noqa: ARG002 - the solver takes all batches
        """Solves the problem for all training data and ends ``fit``."""
        optimizer: Any = self.optimizers()
        loss = torch.as_tensor(optimizer.step(self._solve))
        self.log("train/loss", loss)
        self.trainer.should_stop = True
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns an optimizer of a single step."""
        return _OneStep(self.parameters())

    def _solve(self) -> float:
        loader: Any = self.trainer.train_dataloader
        batches = [self.trainer.strategy.batch_to_device(batch, self.device) for batch in loader]
        features = torch.cat([features.flatten(1) for features, _ in batches]).double()
        targets = torch.cat([targets for _, targets in batches])
        length = features.square().sum(dim=1).mean().sqrt()
        self.scale.fill_(1 / length.clamp(min=1e-12))
        fit = fit_logistic(
            features * self.scale,
            targets,
            self.head.out_features,
            l2=self.l2,
            multilabel=self.multilabel,
        )
        if not fit.has_converged:
            _log.warning(
                "the head has not converged (largest gradient %.1e); a larger model.l2 makes "
                "the problem easier",
                fit.gradient,
            )
        with torch.no_grad():
            self.head.weight.copy_(fit.weight)
            self.head.bias.copy_(fit.bias)
        return fit.loss


class MLPHead(Classifier):
    """One hidden layer over features, trained by Adam for as many steps as the Trainer allows.

    Args:
        num_classes: Number of classes.
        in_features: Width of the features.
        hidden: Width of the hidden layer, which is the penultimate layer.
        dropout: Dropout probability of the penultimate activations.
        lr: Learning rate.
        multilabel: Whether a sample may have several classes.
    """

    def __init__(
        self,
        num_classes: int,
        in_features: int,
        hidden: int = 256,
        dropout: float = 0.2,
        lr: float = 3e-3,
        multilabel: bool = False,
    ) -> None:
        super().__init__(num_classes, lr, multilabel)
        self.save_hyperparameters()
        self.hidden = nn.Sequential(
            nn.LayerNorm(in_features),  # features of any scale
            nn.Linear(in_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of features ``[b, in_features]``."""
        logits: Tensor = self.head(self.hidden(features.flatten(1).float()))
        return logits


def frozen(
    num_classes: int,
    in_features: int,
    head: str = "logistic",
    l2: float = 0.01,
    hidden: int = 256,
    multilabel: bool = False,
) -> Classifier:
    """Builds a head over the features of a frozen encoder.

    Args:
        num_classes: Number of classes.
        in_features: Width of the features.
        head: ``logistic`` or ``mlp``.
        l2: Strength of the penalty of ``logistic``.
        hidden: Width of the hidden layer of ``mlp``.
        multilabel: Whether a sample may have several classes.

    Raises:
        MisconfigurationException: An unknown head.
    """
    if head not in HEADS:
        raise MisconfigurationException(
            f"model.head: expected one of {', '.join(HEADS)}, got {head!r}"
        )
    if head == "mlp":
        return MLPHead(num_classes, in_features, hidden, multilabel=multilabel)
    return LogisticHead(num_classes, in_features, l2, multilabel=multilabel)


class _OneStep(torch.optim.Optimizer):
    """Calls its closure once, which solves the whole problem; Lightning counts it as a step."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Returns what the closure returns."""
        assert closure is not None
        return closure()

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightning_badge.examples.logistic import fit_logistic

FEATURES = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
CLASSES = (FEATURES[:, 0] > 0).long() + (FEATURES[:, 1] > 0.5).long()


@pytest.mark.parametrize("l2", [0.01, 1.0])
def test_it_is_scikit_learns_solution(l2: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    ones = torch.ones(60, 1)  # scikit-learn penalises no intercept, so the bias is a feature
    rows = torch.cat([FEATURES, ones], dim=1).double().numpy()
    other = linear_model.LogisticRegression(C=1 / l2, fit_intercept=False, tol=1e-9, max_iter=10000)
    other.fit(rows, CLASSES.numpy())
    fit = fit_logistic(FEATURES, CLASSES, 3, l2=l2)
    assert fit.has_converged
    np.testing.assert_allclose(fit.weight, other.coef_[:, :-1], rtol=1e-3, atol=1e-4 / l2)
    np.testing.assert_allclose(fit.bias, other.coef_[:, -1], rtol=1e-3, atol=1e-4 / l2)


@pytest.mark.parametrize("multilabel", [False, True])
def test_autograd_agrees_that_the_gradient_is_zero(multilabel: bool) -> None:
    targets = functional.one_hot(CLASSES, 3).float() if multilabel else CLASSES
    fit = fit_logistic(FEATURES, targets, 3, l2=0.1, multilabel=multilabel)
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    logits = FEATURES.double() @ weight.T + bias
    if multilabel:
        loss = functional.binary_cross_entropy_with_logits(
            logits, targets.double(), reduction="sum"
        )
    else:
        loss = functional.cross_entropy(logits, targets, reduction="sum")
    loss = (loss + 0.05 * (weight.square().sum() + bias.square().sum())) / 60
    loss.backward()
    assert fit.has_converged
    assert loss.item() == pytest.approx(fit.loss)
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().max() < 1e-5
    assert bias.grad.abs().max() < 1e-5


def test_a_class_without_labels_has_a_finite_bias() -> None:
    fit = fit_logistic(FEATURES, CLASSES, 5, l2=0.01)
    assert fit.has_converged
    assert fit.bias.isfinite().all()
    logits = FEATURES.double() @ fit.weight.T + fit.bias
    assert not (logits.argmax(1) >= 3).any()


def test_labels_of_a_single_class_converge() -> None:
    fit = fit_logistic(FEATURES, torch.ones(60).long(), 2, l2=0.01)
    assert fit.has_converged
    assert ((FEATURES.double() @ fit.weight.T + fit.bias).argmax(1) == 1).all()


def test_equal_data_give_equal_results() -> None:
    first, second = (fit_logistic(FEATURES, CLASSES, 3, l2=0.01) for _ in range(2))
    assert torch.equal(first.weight, second.weight)

"""Strategies that read a posterior, through the callback and the model's own dropout layers."""

from pathlib import Path

import pytest
import torch
from tiny import LIGHTNING_WARNINGS, Classifier, fit, loader, validate
from torch import nn

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture.posterior import capture_posterior
from lightning_badge.exceptions import CaptureError
from lightning_badge.ordering.strategies.batchbald import mutual_information

pytestmark = LIGHTNING_WARNINGS


@pytest.mark.parametrize("strategy", ["bald", "batchbald"])
def test_the_pool_is_ordered_by_what_the_models_dropout_says(tmp_path: Path, strategy: str) -> None:
    callback = BadgeCallback(strategy=strategy, pool=loader(30), posterior_samples=5, seed=3)
    model = Classifier()
    trainer = validate(tmp_path, callback, model)
    assert sorted(callback.ordering) == list(range(30))
    posterior = capture_posterior(trainer, model, loader(30), samples=5, seed=3, head="network.3")
    best = mutual_information(posterior)
    assert callback.ordering.gains[0] == pytest.approx(best.max(), abs=1e-9)
    assert best[callback.ordering.sample_ids[0]] == best.max()


def test_training_goes_on_as_without(tmp_path: Path) -> None:
    weights = []
    badge = BadgeCallback(strategy="batchbald", pool=loader(20))
    for callbacks in ([], [badge]):
        torch.manual_seed(0)
        model = Classifier()
        fit(tmp_path, *callbacks, model=model, max_epochs=2)
        weights.append([weight.detach().clone() for weight in model.parameters()])
    assert badge.ordering is not None
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))


def test_a_model_without_dropout_is_told_before_training(tmp_path: Path) -> None:
    callback = BadgeCallback(strategy="bald", pool=loader(9))
    model = Classifier(nn.Linear(4, 3))
    before = [weight.clone() for weight in model.parameters()]
    with pytest.raises(CaptureError, match="no dropout layers"):
        fit(tmp_path, callback, model=model)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_a_multi_label_model_is_refused(tmp_path: Path) -> None:
    callback = BadgeCallback(strategy="bald", pool=loader(9), loss="binary_cross_entropy")
    with pytest.raises(CaptureError, match="the model is multi-label"):
        validate(tmp_path, callback)

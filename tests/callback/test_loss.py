"""What the callback says of the loss that it takes, and what it refuses before training."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLASSES, LIGHTNING_WARNINGS, Classifier, fit, loader, mlp, validate
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.ordering import order
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS


class MultiLabel(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.criterion = nn.BCEWithLogitsLoss()

    def loss(self, batch: Any) -> Tensor:
        wanted = functional.one_hot(batch[1], CLASSES).float()
        return self.criterion(self(batch[0]), wanted)


def test_a_multi_label_model_is_embedded_by_its_own_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback, model = BadgeCallback(pool=loader(20), seed=3, when="every_validation"), MultiLabel()
    with caplog.at_level(logging.INFO):
        fit(tmp_path, callback, model=model, max_epochs=2)
    said = [text for text in caplog.messages if "embeds the gradient of" in text]
    assert said == [
        "BadgeCallback: embeds the gradient of binary_cross_entropy (BCEWithLogitsLoss "
        "'criterion'); loss=... chooses another"
    ]
    metadata = read_ordering(callback.last_ordering_path).metadata
    assert metadata["loss"] == "binary_cross_entropy"
    assert metadata["loss_evidence"] == "BCEWithLogitsLoss 'criterion'"
    inputs = loader(20).dataset.tensors[0]
    model.eval()
    with torch.no_grad():
        embedding = GradientEmbedding.from_logits(
            model.network[:-1](inputs), model(inputs), loss="binary_cross_entropy"
        )
    assert list(callback.ordering) == list(order(embedding, seed=3))


def test_a_loss_that_is_given_is_taken_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = BadgeCallback(pool=loader(20), loss="cross_entropy")
    with caplog.at_level(logging.INFO):
        validate(tmp_path, callback, MultiLabel())
    assert "embeds the gradient of" not in caplog.text
    assert callback.ordering.metadata["loss_evidence"] == "given as loss="


class Regression(Classifier):
    def __init__(self) -> None:
        super().__init__(mlp(1))

    def loss(self, batch: Any) -> Tensor:
        return functional.mse_loss(self(batch[0]).squeeze(1), batch[1].float())


def test_regression_is_refused_before_the_first_step(tmp_path: Path) -> None:
    x, y = loader(20).dataset.tensors[0], torch.linspace(0, 3, 20)
    pool = DataLoader(TensorDataset(x, y), batch_size=8)
    model = Regression()
    before = [weight.clone() for weight in model.parameters()]
    with pytest.raises(EmbeddingError, match="looks like regression"):
        fit(tmp_path, BadgeCallback(pool=pool), model=model)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    callback = BadgeCallback(pool=pool, loss="binary_cross_entropy")
    fit(tmp_path, callback, model=model)
    assert callback.n_orderings == 1

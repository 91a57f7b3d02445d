import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import order


@pytest.fixture
def logits() -> torch.Tensor:
    return 4 * torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gains_by_row(logits: torch.Tensor, strategy: str, loss: str = "cross_entropy") -> np.ndarray:
    embedding = GradientEmbedding.from_logits(torch.ones(len(logits), 1), logits, loss=loss)
    ordering = order(embedding, strategy)
    assert (np.diff(ordering.gains) <= 0).all()
    return ordering.gains[np.argsort(ordering.sample_ids)]


def test_entropy_is_the_categorical_entropy(logits: torch.Tensor) -> None:
    expected = Categorical(logits=logits).entropy().numpy()
    np.testing.assert_allclose(gains_by_row(logits, "entropy"), expected, rtol=1e-9)


def test_least_confidence_is_the_probability_of_an_error(logits: torch.Tensor) -> None:
    expected = 1 - logits.softmax(1).amax(1).numpy()
    np.testing.assert_allclose(gains_by_row(logits, "least_confidence"), expected, rtol=1e-9)


def test_margin_is_the_gap_between_the_two_most_probable_classes(logits: torch.Tensor) -> None:
    top = logits.softmax(1).topk(2, dim=1).values
    expected = 1 - (top[:, 0] - top[:, 1]).numpy()
    np.testing.assert_allclose(gains_by_row(logits, "margin"), expected, rtol=1e-9)


def test_multi_label_scores(logits: torch.Tensor) -> None:
    p = logits.sigmoid()
    loss = "binary_cross_entropy"
    entropy = Bernoulli(logits=logits).entropy().sum(1).numpy()
    np.testing.assert_allclose(gains_by_row(logits, "entropy", loss), entropy, rtol=1e-9)
    error = torch.minimum(p, 1 - p).amax(1).numpy()
    np.testing.assert_allclose(gains_by_row(logits, "least_confidence", loss), error, rtol=1e-9)
    gap = (2 * p - 1).abs().amin(1).numpy()
    np.testing.assert_allclose(gains_by_row(logits, "margin", loss), 1 - gap, rtol=1e-9)


def test_saturated_predictions_are_distinguished() -> None:
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [50.0, 0.0]])
    for strategy in ("entropy", "least_confidence", "margin"):
        embedding = GradientEmbedding.from_logits(torch.ones(3, 1), logits)
        assert order(embedding, strategy).sample_ids.tolist() == [0, 2, 1]


@pytest.mark.parametrize("strategy", ["entropy", "least_confidence", "margin"])
def test_ties_go_to_the_lowest_row(strategy: str) -> None:
    embedding = GradientEmbedding.from_logits(torch.ones(6, 1), torch.ones(6, 3))
    assert order(embedding, strategy).sample_ids.tolist() == list(range(6))


def test_a_dense_embedding_has_no_probabilities() -> None:
    with pytest.raises(OrderingError, match="GradientEmbedding.from_logits"):
        order(GradientEmbedding.from_dense(torch.ones(2, 2)), "entropy")

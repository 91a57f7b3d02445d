import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError


def autograd_embedding(
    head: nn.Linear, penultimate: torch.Tensor, *, multi_label: bool, bias: bool
) -> torch.Tensor:
    """Computes embeddings from the definition, with one backward pass per sample.

    The target of the loss is the label that the head predicts.
    """
    rows = []
    for activation in penultimate:
        logits = head(activation)
        if multi_label:
            target = (logits > 0).to(logits.dtype)
            loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        else:
            loss = functional.cross_entropy(logits[None], logits.argmax()[None])
        weight_grad, bias_grad = torch.autograd.grad(loss, [head.weight, head.bias])
        grad = torch.cat([weight_grad, bias_grad[:, None]], dim=1) if bias else weight_grad
        rows.append(grad.flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        ("cross_entropy", 2),
        ("cross_entropy", 7),
        ("binary_cross_entropy", 1),
        ("binary_cross_entropy", 5),
    ],
)
def test_the_embedding_equals_the_gradient_of_autograd(loss: str, classes: int, bias: bool) -> None:
    torch.manual_seed(0)
    head = nn.Linear(6, classes).double()
    penultimate = torch.randn(9, 6, dtype=torch.float64)
    expected = autograd_embedding(
        head, penultimate, multi_label=loss == "binary_cross_entropy", bias=bias
    )
    embedding = GradientEmbedding.from_logits(penultimate, head(penultimate), loss=loss, bias=bias)
    torch.testing.assert_close(embedding.dense(), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(embedding.sq_norm, expected.square().sum(1), rtol=1e-12, atol=1e-14)


@given(margin=st.floats(0.0, 80.0))
def test_gradients_of_confident_predictions_are_accurate(margin: float) -> None:
    logits = torch.tensor([[margin, 0.0, -1.0]])
    embedding = GradientEmbedding.from_logits(torch.ones(1, 1), logits)
    exact = logits.double().softmax(1)
    others = exact[0, 1:]
    expected = torch.cat([-others.sum()[None], others]).float()
    torch.testing.assert_close(embedding.logit_grad[0], expected, rtol=1e-5, atol=0.0)


def test_confidence_and_hallucinated_label_of_each_kind_of_head() -> None:
    logits = torch.tensor([[2.0, -1.0], [-3.0, 0.5]])
    ones = torch.ones(2, 1)
    multi_class = GradientEmbedding.from_logits(ones, logits)
    assert multi_class.hallucinated_label.tolist() == [0, 1]
    torch.testing.assert_close(multi_class.confidence, logits.softmax(1).amax(1))
    multi_label = GradientEmbedding.from_logits(ones, logits, loss="binary_cross_entropy")
    assert multi_label.hallucinated_label is None
    p = logits.sigmoid()
    torch.testing.assert_close(multi_label.confidence, torch.maximum(p, 1 - p).amin(1))
    binary = GradientEmbedding.from_logits(ones, logits[:, :1], loss="binary_cross_entropy")
    assert binary.hallucinated_label.tolist() == [1, 0]


def test_a_logit_of_zero_is_hallucinated_as_the_negative_class() -> None:
    embedding = GradientEmbedding.from_logits(
        torch.ones(1, 1), torch.zeros(1, 1), loss="binary_cross_entropy"
    )
    assert embedding.logit_grad.tolist() == [[0.5]]
    assert embedding.hallucinated_label.tolist() == [0]


def test_masked_classes_get_no_gradient() -> None:
    logits = torch.tensor([[1.0, -torch.inf, 0.0]])
    embedding = GradientEmbedding.from_logits(torch.ones(1, 2), logits)
    assert embedding.logit_grad[0, 1] == 0.0
    assert embedding.dense().isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_upcast(dtype: torch.dtype) -> None:
    embedding = GradientEmbedding.from_logits(
        torch.ones(2, 3, dtype=dtype), torch.eye(2, dtype=dtype)
    )
    assert embedding.logit_grad.dtype == embedding.penultimate.dtype == torch.float32


def test_ids_are_positions_unless_given() -> None:
    ones, logits = torch.ones(2, 3), torch.eye(2)
    assert GradientEmbedding.from_logits(ones, logits).sample_ids.tolist() == [0, 1]
    named = GradientEmbedding.from_logits(ones, logits, sample_ids=["b", "a"])
    assert named.sample_ids.tolist() == ["b", "a"]


@pytest.mark.parametrize(("ids", "more"), [([3, 1], [2]), (["b", "long" * 99], ["a"])])
def test_ids_are_concatenated_and_repeated_or_mixed_ones_refused(ids: list, more: list) -> None:
    def rows(ids: list) -> GradientEmbedding:
        ones = torch.ones(len(ids), 2)
        return GradientEmbedding.from_logits(ones, ones, sample_ids=ids)

    joined = rows(ids).concatenate(rows(more))
    assert joined.sample_ids.tolist() == ids + more
    assert joined.sample_ids.dtype == rows(ids).sample_ids.dtype
    with pytest.raises(EmbeddingError, match="came more than once"):
        joined.concatenate(rows(more))
    with pytest.raises(EmbeddingError, match="all int or all str"):
        rows([7]).concatenate(rows(["7"]))


def test_a_dense_embedding_is_its_own_outer_product() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    embedding = GradientEmbedding.from_dense(rows)
    torch.testing.assert_close(embedding.dense(), rows)
    assert embedding.sq_norm.tolist() == [1.0, 13.0, 41.0]


def test_to_moves_every_tensor() -> None:
    embedding = GradientEmbedding.from_logits(torch.ones(2, 3), torch.eye(2)).to("meta")
    assert embedding.logit_grad.is_meta
    assert embedding.sq_norm.is_meta
    assert embedding.hallucinated_label.is_meta


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("penultimate", "logits", "arguments", "message"),
    [
        (torch.ones(2, 3), torch.ones(3, 2), {}, r"same n, got \[2, 3\] and \[3, 2\]"),
        (torch.ones(2), torch.ones(2, 2), {}, r"\[n, h\] and logits \[n, c\]"),
        (torch.ones(2, 3), torch.ones(2, 4, 2), {}, r"got \[2, 3\] and \[2, 4, 2\]"),
        (torch.ones(2, 3), torch.ones(2, 1), {}, "binary_cross_entropy"),
        (torch.ones(2, 3), torch.ones(2, 0), {"loss": "binary_cross_entropy"}, "one class or more"),
        (torch.ones(2, 3), torch.ones(2, 2), {"loss": "hinge"}, "cross_entropy, binary"),
        (torch.full((2, 3), NAN), torch.ones(2, 2), {}, "penultimate: NaN.*2 of 2 rows.*0, 1"),
        (torch.ones(2, 3), torch.tensor([[0, 0], [NAN, 0]]), {}, "logits: NaN.*1 of 2 rows.*ids 1"),
        (torch.ones(2, 3), torch.tensor([[0, 0], [INF, 0]]), {}, r"logits: \+inf.*sample ids 1"),
        (torch.ones(1, 3), torch.tensor([[-INF, -INF]]), {}, "every class masked"),
        (torch.ones(2, 3), torch.ones(2, 2), {"sample_ids": [1]}, "one per row, 2, got 1"),
        (torch.ones(2, 3), torch.ones(2, 2), {"sample_ids": [1, 1]}, "1 came more than once"),
        (torch.ones(2, 3), torch.ones(2, 2), {"sample_ids": [1, "a"]}, "all int or all str"),
    ],
)
def test_bad_input_gets_one_clear_line(penultimate, logits, arguments, message) -> None:
    with pytest.raises(EmbeddingError, match=message) as caught:
        GradientEmbedding.from_logits(penultimate, logits, **arguments)
    assert "\n" not in str(caught.value)


def test_an_empty_pool_is_an_empty_embedding() -> None:
    embedding = GradientEmbedding.from_logits(torch.ones(0, 3), torch.ones(0, 2))
    assert len(embedding) == 0
    assert embedding.sample_ids.dtype == np.int64


@pytest.mark.parametrize("rows", [torch.ones(3), torch.tensor([[NAN]])])
def test_a_dense_embedding_is_checked_too(rows: torch.Tensor) -> None:
    with pytest.raises(EmbeddingError, match="dense embedding"):
        GradientEmbedding.from_dense(rows)


def test_a_gpu_without_enough_memory_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = GradientEmbedding.from_logits(torch.ones(1000, 6), torch.randn(1000, 4))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100_000, 10**9))
    with pytest.raises(EmbeddingError, match=r"1,000 rows x \(4 classes \+ 6 activations\) x 4 by"):
        embedding.to("cuda")

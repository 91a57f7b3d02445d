import pytest
import torch

pytest.importorskip("transformers")
from lightning_badge.examples.transformer import SmallTransformer


@pytest.fixture
def model() -> SmallTransformer:
    return SmallTransformer(num_classes=3, vocabulary=20, length=6, width=8).eval()


def tokens(*texts: list[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[*text, *[0] * (6 - len(text))] for text in texts])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def test_padding_does_not_change_the_logits(model: SmallTransformer) -> None:
    batch = tokens([5, 7, 3], [9])
    cut = {key: value[:, :3] for key, value in batch.items()}
    torch.testing.assert_close(model(**cut), model(**batch))


def test_the_order_of_tokens_changes_the_logits(model: SmallTransformer) -> None:
    first, second = model(**tokens([5, 7, 3], [3, 7, 5]))
    assert not torch.allclose(first, second)


def test_a_text_without_tokens_has_finite_logits(model: SmallTransformer) -> None:
    assert model(**tokens([], [4])).isfinite().all()


def test_the_head_reads_the_mean_over_tokens(model: SmallTransformer) -> None:
    seen: list[torch.Tensor] = []
    handle = model.head.register_forward_hook(lambda _, inputs, output: seen.extend(inputs))
    batch = tokens([5, 7, 3])
    model(**batch)
    handle.remove()
    hidden = model.encoder(**batch).last_hidden_state
    torch.testing.assert_close(seen[0], hidden[:, :3].mean(dim=1))

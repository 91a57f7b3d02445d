"""Embeddings that are mapped from disk."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pools import make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_folder import read_embedding_folder, write_embedding_folder
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.ordering import order

NAMES = ("logit_grad", "penultimate", "sq_norm", "hallucinated_label", "confidence")


@pytest.mark.parametrize("ids", [None, [f"{n}/ä.png" for n in range(30)]])
@pytest.mark.parametrize("bias", [False, True])
def test_what_is_read_is_what_was_written(
    tmp_path: Path, ids: list[str] | None, bias: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    made = GradientEmbedding.from_logits(
        torch.rand(30, 5, generator=generator),
        torch.randn(30, 3, generator=generator),
        bias=bias,
        sample_ids=ids,
    )
    write_embedding_folder(made, tmp_path / "embedding")
    read = read_embedding_folder(tmp_path / "embedding")
    assert read.sample_ids.tolist() == made.sample_ids.tolist()
    assert (read.loss, read.bias) == (made.loss, made.bias)
    assert all(torch.equal(getattr(read, name), getattr(made, name)) for name in NAMES)
    assert list(order(read, "badge")) == list(order(made, "badge"))


def test_a_dense_embedding_has_no_labels(tmp_path: Path) -> None:
    made = GradientEmbedding.from_dense(torch.randn(4, 2))
    write_embedding_folder(made, tmp_path)
    read = read_embedding_folder(tmp_path)
    assert read.hallucinated_label is read.confidence is read.loss is None


def test_changes_in_memory_do_not_reach_the_files(tmp_path: Path) -> None:
    made = make_pool(5)
    write_embedding_folder(made, tmp_path)
    read_embedding_folder(tmp_path).penultimate.zero_()
    assert torch.equal(read_embedding_folder(tmp_path).penultimate, made.penultimate)


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="expected an embedding in this folder"):
        read_embedding_folder(tmp_path / "none")
    write_embedding_folder(make_pool(5), tmp_path)
    np.save(tmp_path / "sq_norm.npy", np.zeros(4))
    with pytest.raises(EmbeddingError, match="another length"):
        read_embedding_folder(tmp_path)
    (tmp_path / "sq_norm.npy").write_bytes(b"torn")
    with pytest.raises(EmbeddingError, match="expected a .npy file with one array"):
        read_embedding_folder(tmp_path)
    (tmp_path / "embedding.json").unlink()
    with pytest.raises(EmbeddingError, match="expected an embedding in this folder"):
        read_embedding_folder(tmp_path)

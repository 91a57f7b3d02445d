"""Embeddings for a pool when no model has been trained: of the samples themselves."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.datamodule.folder.ngrams import PADDING
from lightning_badge.datamodule.folder.samples import Inputs, Samples
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import LabelError
from lightning_badge.sample_ids import SampleIds, as_sample_ids, positions_of

WIDTH = 512  # most numbers of a sample
_SIDE = 13  # 3 x 13 x 13 = 507
_AT_ONCE = 512


def cold_start(samples: Samples, sample_ids: SampleIds) -> GradientEmbedding:
    """Returns an embedding of samples that needs no model and no labels.

    The strategy ``badge`` on it is k-means++ over these rows. Images are shrunken to 13 x 13
    pixels; texts are weighted counts of n-grams, rare ones weighing more, projected at random and
    normalized; tables are their standardised columns, projected at random if there are more than
    512.

    Args:
        samples: The samples.
        sample_ids: Ids of those to embed, such as ``datamodule.pool_ids``; at least one.

    Returns:
        An embedding of at most 512 numbers a sample, the same in every process.

    Raises:
        LabelError: No ids, or unknown or repeated ones.
    """
    if not len(sample_ids):
        raise LabelError("cold_start: expected sample ids, got none")
    ids = as_sample_ids(samples.sample_ids)
    positions = positions_of(sample_ids, ids, of="the folder").tolist()
    rows = _ROWS[samples.kind](samples.inputs, positions)
    return GradientEmbedding.from_dense(rows, sample_ids=sample_ids)


def _shrunken(inputs: Inputs, positions: list[int]) -> Tensor:
    blocks = (
        inputs[positions[start : start + _AT_ONCE]].float() / 255
        for start in range(0, len(positions), _AT_ONCE)
    )
    return torch.cat([functional.adaptive_avg_pool2d(block, _SIDE).flatten(1) for block in blocks])


def _projected_ngrams(inputs: Inputs, positions: list[int]) -> Tensor:
    buckets = inputs[positions].long()
    counts = torch.bincount(buckets.flatten())
    counts[PADDING] = 0
    weights = torch.log((1 + len(buckets)) / (1 + counts))
    projection = _random_projection(len(counts), WIDTH) * weights[:, None]
    projection[PADDING] = 0
    rows = functional.embedding_bag(buckets, projection, mode="sum")
    return functional.normalize(rows, dim=1)


def _columns(inputs: Inputs, positions: list[int]) -> Tensor:
    rows = inputs[positions]
    if rows.shape[1] <= WIDTH:
        return rows
    projected: Tensor = rows @ _random_projection(rows.shape[1], WIDTH)
    return projected


def _random_projection(n: int, width: int) -> Tensor:
    """Returns a matrix ``[n, width]`` that keeps distances on average."""
    scale: float = width**-0.5
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0)) * scale


_ROWS: dict[str, Callable[[Inputs, list[int]], Tensor]] = {
    "images": _shrunken,
    "texts": _projected_ngrams,
    "tables": _columns,
}

"""What people need to review labels after a round: a Parquet table beside the ordering.

Columns: ``sample_id`` int64 or string; ``is_labeled``, whether the round trained on the sample;
``guess`` int32, the class that the round's model predicts; ``confidence`` float32, its probability;
``nearest``, the ids of the nearest labeled samples of a pool sample, nearest first, null for
labeled samples. This module needs no torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lightning_badge.durable.file import replacing
from lightning_badge.durable.leftovers import sweep
from lightning_badge.exceptions import ArtifactError
from lightning_badge.file_limits import one_line
from lightning_badge.parquet_file import read_parquet
from lightning_badge.sample_ids import SampleId, SampleIds, is_str

NAME = "review.parquet"
_COLUMNS = ("sample_id", "is_labeled", "guess", "confidence", "nearest")


@dataclass(frozen=True, eq=False)
class Review:
    """Predictions for the labeled set and the pool, in one order.

    Attributes:
        sample_ids: Ids, ``[n]``.
        is_labeled: Whether the round trained on the sample, ``[n]``.
        guess: Predicted class, ``[n]`` int32.
        confidence: Its probability, ``[n]`` float32.
        nearest: The nearest labeled ids of each sample; None for labeled samples, ``[n]``.
    """

    sample_ids: SampleIds
    is_labeled: npt.NDArray[np.bool_]
    guess: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    nearest: list[list[SampleId] | None]


def write_review(review: Review, path: Path) -> None:
    """Writes a review atomically.

    Args:
        review: The review.
        path: The file; missing folders are created.
    """
    kind = pa.string() if is_str(review.sample_ids) else pa.int64()
    columns: tuple[Any, ...] = (
        pa.array(review.sample_ids.tolist(), type=kind),
        pa.array(review.is_labeled),
        pa.array(review.guess, type=pa.int32()),
        pa.array(review.confidence, type=pa.float32()),
        pa.array(review.nearest, type=pa.list_(kind)),
    )
    sweep(path.parent, path.name.__eq__)
    with replacing(path) as temporary:
        table = pa.table(dict(zip(_COLUMNS, columns, strict=True)))
        pq.write_table(table, temporary, write_page_checksum=True)


def read_review(path: Path) -> Review:
    """Reads a review.

    Raises:
        ArtifactError: The file is missing or damaged, or a column is missing.
    """
    mend = "the next round writes its own"
    expected = "the review of a round"
    table = read_parquet(path, expected, ArtifactError, columns=_COLUMNS, mend=mend)
    with one_line(path, expected, ArtifactError, mend=mend):
        ids = table["sample_id"]
        is_int = pa.types.is_integer(ids.type)
        kind: Any = np.int64 if is_int else np.object_
        return Review(
            np.array(ids.cast(pa.int64() if is_int else pa.string()).to_pylist(), dtype=kind),
            table["is_labeled"].cast(pa.bool_()).to_numpy(),
            table["guess"].cast(pa.int32()).to_numpy(),
            table["confidence"].cast(pa.float32()).to_numpy(),
            table["nearest"].cast(pa.list_(ids.type)).to_pylist(),
        )

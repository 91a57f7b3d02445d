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
from lightning_badge.exceptions import ArtifactError
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
    with replacing(path) as temporary:
        pq.write_table(pa.table(dict(zip(_COLUMNS, columns, strict=True))), temporary)


def read_review(path: Path) -> Review:
    """Reads a review.

    Raises:
        ArtifactError: The file is missing or damaged, or a column is missing.
    """
    try:
        table = pq.ParquetFile(path).read(columns=list(_COLUMNS))
        if missing := set(_COLUMNS) - set(table.column_names):
            raise KeyError(f"no column {', '.join(sorted(missing))}")
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path}: expected the review of a round, but it cannot be read ({reason}); the next "
            "round writes its own"
        ) from error
    is_int = pa.types.is_integer(table.schema.field("sample_id").type)
    kind: Any = np.int64 if is_int else np.object_
    return Review(
        np.array(table["sample_id"].to_pylist(), dtype=kind),
        table["is_labeled"].to_numpy(),
        table["guess"].to_numpy(),
        table["confidence"].to_numpy(),
        table["nearest"].to_pylist(),
    )

"""What the model of a round predicts, read from the file that the trainer wrote with the round."""

import logging
from pathlib import Path
from typing import Any

from lightning_badge.durable.file import identity_of
from lightning_badge.exceptions import ArtifactError
from lightning_badge.review_file import NAME, Review, read_review
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.run_directory import RunDirectory

_log = logging.getLogger(__name__)


class Predictions:
    """Guesses for labeled samples and the pool, and the nearest labeled samples of the pool.

    Args:
        review: The review of a round; None if there is none.
    """

    def __init__(self, review: Review | None) -> None:
        self._review = review
        ids: list[SampleId] = [] if review is None else review.sample_ids.tolist()
        self._row = {sample_id: row for row, sample_id in enumerate(ids)}

    def guess(self, sample_id: SampleId) -> dict[str, Any] | None:
        """Returns label and confidence of a guess; None if there is none."""
        row = self._row.get(sample_id)
        if row is None or self._review is None:
            return None
        review = self._review
        return {"label": int(review.guess[row]), "confidence": float(review.confidence[row])}

    def nearest(self, sample_id: SampleId) -> list[SampleId]:
        """Returns the nearest labeled samples, nearest first."""
        row = self._row.get(sample_id)
        return [] if row is None or self._review is None else self._review.nearest[row] or []


class LatestPredictions:
    """The predictions of the round that is labeled, read once.

    Args:
        directory: The run directory.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._written: tuple[Path, int, int] | None = None
        self._predictions = Predictions(None)

    def of(self, round: int | None) -> Predictions:
        """Returns the predictions of a round; empty ones if it has none.

        Args:
            round: The round; None before the first one.
        """
        written = None if round is None else _written(self._directory.round_path(round) / NAME)
        if written != self._written:
            self._predictions = Predictions(None if written is None else _read(written[0]))
            self._written = written
        return self._predictions


def _written(path: Path) -> tuple[Path, int, int] | None:
    identity = identity_of(path)
    return None if identity is None else (path, *identity)


def _read(path: Path) -> Review | None:
    try:
        return read_review(path)
    except ArtifactError as error:
        _log.error("%s", error)
        return None

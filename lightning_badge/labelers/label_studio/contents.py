"""What a task shows: the sample itself, or the address where browsers find it."""

import base64
import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import quote

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.pictures import PictureError, picture_of
from lightning_badge.labelers.shown import ShownSamples
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.next_sample import Query

_log = logging.getLogger(__name__)
_NAME = "label_studio"
_LEAST_BYTES = 128  # Label Studio's page takes a picture of less than 100 bytes for an error


class Contents:
    """The data of tasks.

    Args:
        datamodule: Knows the samples.
        urls: Where browsers find the samples: a template over ``{sample_id}``, or a column of a
            table; None puts the samples themselves into the tasks.

    Attributes:
        kind: What people see: ``images``, ``texts`` or ``tables``.

    Raises:
        LabelError: The samples cannot be shown, or there is no such column.
    """

    def __init__(self, datamodule: ActiveLearningDataModule, urls: str | None) -> None:
        self._datamodule, self._urls = datamodule, urls
        self._read()
        self.kind = self._shown.kind
        if urls is not None and self.kind == "tables":
            self.kind = "images"

    def of(self, sample_id: SampleId) -> Any:
        """Returns an address, a data URI, a text, or a row.

        A file that vanished or is damaged ends no run: its task shows none, and people skip it.
        """
        if sample_id not in self._shown:  # it arrived later
            self._read()
        if self._address is not None:
            return self._address(sample_id)
        shown = self._shown.of(sample_id)
        if self.kind == "tables":
            return json.loads(shown.shown)
        if self.kind == "texts":
            return shown.shown
        try:
            picture = picture_of(shown.picture or Path(shown.shown))
        except PictureError as error:
            _log.warning(
                "sample %r has no picture (%s); people may skip its task", sample_id, error
            )
            return f"no picture of {sample_id}"
        # Decoders ignore what follows a picture.
        coded = base64.b64encode(picture.content.ljust(_LEAST_BYTES, b"\0")).decode("ascii")
        return f"data:{picture.media_type};base64,{coded}"

    def _read(self) -> None:
        self._shown = ShownSamples(self._datamodule, _NAME)
        self._address = None if self._urls is None else _address(self._datamodule, self._urls)


def data_of(contents: Contents, key: str, query: Query, sample_id: SampleId) -> dict[str, Any]:
    """Returns the data of a task: what it shows under a key, and where the sample stood."""
    rank, gain = query.rank_of(sample_id), None
    if rank is not None and query.ordering.gains is not None:
        number = float(query.ordering.gains[rank])
        gain = number if math.isfinite(number) else None
    return {
        key: contents.of(sample_id),
        "sample_id": sample_id,
        "badge_rank": rank,
        "badge_round": query.round,
        "badge_gain": gain,
    }


def _address(datamodule: ActiveLearningDataModule, urls: str) -> Callable[[SampleId], str]:
    """Returns the function from a sample to its address."""
    if not isinstance(urls, str):
        raise LabelError(f"labelers.urls: expected a text or null, got {urls!r}")
    if _placeholders(urls) == {"sample_id"}:
        return lambda sample_id: urls.format(sample_id=quote(str(sample_id)))
    samples = getattr(datamodule, "samples", None)
    columns = {} if samples is None else samples.columns
    if urls not in columns:
        raise LabelError(
            "labelers.urls: expected a template such as https://example.org/{sample_id}, or one of "
            f"the columns {list(columns)}, got {urls!r}"
        )
    values: Sequence[Any] = columns[urls]
    by_id = dict(zip(samples.sample_ids, values, strict=True)) if samples is not None else {}
    return lambda sample_id: str(by_id[sample_id])


def _placeholders(text: str) -> set[str]:
    try:
        return {key for _, key, _, _ in Formatter().parse(text) if key is not None}
    except ValueError:
        return set()

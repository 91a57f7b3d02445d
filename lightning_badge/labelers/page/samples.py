"""What the page shows of each sample, found by a key that reveals no path."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.page_files import Page, PageSamples, read_page, read_samples
from lightning_badge.sample_ids import SampleId

_LONGEST_TEXT = 50_000
_KINDS = {"images": "image", "texts": "text", "tables": "row"}


class Samples:
    """The samples of a run, by key.

    Args:
        page: What concerns the whole run.
        table: What people see of each sample.

    Raises:
        RunDirectoryError: Two samples have the same key.
    """

    def __init__(self, page: Page, table: PageSamples) -> None:
        self.kind = _KINDS[page.kind]
        self._table = table
        ids: list[SampleId] = table.sample_ids.tolist()
        self._row = {sample_id: row for row, sample_id in enumerate(ids)}
        self._id = {key_of_id(sample_id): sample_id for sample_id in ids}
        if len(self._id) != len(self._row):
            raise RunDirectoryError(
                f"samples: expected a key of its own for each of {len(self._row)} samples, got "
                f"{len(self._id)} keys; rename samples"
            )

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, sample_id: SampleId) -> bool:
        return sample_id in self._row

    def id_of(self, key: str) -> SampleId | None:
        """Returns the sample with a key; None if there is none."""
        return self._id.get(key)

    def shown(self, sample_id: SampleId) -> dict[str, Any]:
        """Returns key, id and contents of a sample; the page gets pictures by another request."""
        item: dict[str, Any] = {
            "key": key_of_id(sample_id),
            "id": str(sample_id),
            "kind": self.kind,
        }
        if self.kind == "text":
            item["text"] = _shortened(self._table.shown(self._row[sample_id]))
        elif self.kind == "row":
            row = json.loads(self._table.shown(self._row[sample_id]))
            item["row"] = [[column, _cell(value)] for column, value in row.items()]
        return item

    def picture(self, sample_id: SampleId) -> bytes | Path | None:
        """Returns the PNG of a sample or the path of its image; None if it is no image."""
        if self.kind != "image":
            return None
        row = self._row[sample_id]
        stored = self._table.picture(row)
        if stored is not None:
            return stored
        shown = self._table.shown(row)
        return Path(shown) if shown else None


def read_run(run_path: Path) -> tuple[Page, Samples]:
    """Reads what the trainer wrote for the page.

    Raises:
        RunDirectoryError: A file is missing or damaged.
    """
    page = read_page(run_path)
    return page, Samples(page, read_samples(run_path))


def key_of_id(sample_id: SampleId) -> str:
    """Returns the key of a sample: the same in every process, whatever else the folder holds.

    Example:
        >>> key_of_id("a.png") == key_of_id("a.png") != key_of_id("b.png")
        True
    """
    return hashlib.blake2b(json.dumps(sample_id).encode()).hexdigest()[:16]


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _shortened(text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."

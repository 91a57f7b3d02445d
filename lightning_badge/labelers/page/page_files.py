"""The folder ``page`` of a run directory: what the trainer tells the page's server.

``page.json`` holds what concerns the whole run, ``samples.parquet`` what people see of each sample.
Both are replaced at each start of the trainer, ``page.json`` last: once it exists, the folder is
whole. This module needs no torch, because the server reads the files in a light process.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.file_limits import one_line, read_json
from lightning_badge.labelers.base import ShownSample
from lightning_badge.labels import Label
from lightning_badge.parquet_file import read_parquet
from lightning_badge.sample_ids import SampleId, SampleIds

VERSION = 1
KINDS = ("images", "texts", "tables")
_AT_ONCE = 1000  # rows of a block of samples.parquet
_AGAIN = "start the loop again, which writes it"


@dataclass(frozen=True)
class Page:
    """What the page shows beside the samples.

    Attributes:
        title: Name of the data.
        kind: One of `KINDS`.
        class_names: The classes of the data; answers may add further ones.
        multilabel: Whether a sample may have several classes, or none.
        accept_changes: Whether an answer may name a new class.
        overlap: Number of annotators that answer each sample.
        guess: Whether the page shows what the model predicts.
        guidelines: HTML that explains the classes to people; None for none.
        validation: Ids of validation samples, in the order in which to ask for them.
        initial: The labels known from the data, by sample id.
    """

    title: str
    kind: str
    class_names: tuple[str, ...]
    multilabel: bool = False
    accept_changes: bool = False
    overlap: int = 1
    guess: bool = False
    guidelines: str | None = None
    validation: tuple[SampleId, ...] = ()
    initial: Mapping[SampleId, Label] = field(default_factory=dict)


class PageSamples:
    """What people see of all samples, by row.

    Args:
        table: The table of ``samples.parquet``.

    Attributes:
        sample_ids: Ids, ``[n]``.
    """

    def __init__(self, table: pa.Table) -> None:
        is_int = pa.types.is_integer(table.schema.field("sample_id").type)
        kind: Any = np.int64 if is_int else np.object_
        self.sample_ids: SampleIds = np.array(table["sample_id"].to_pylist(), dtype=kind)
        # One array each: rows of a chunked array are slow to find.
        self._shown = _joined(table["shown"].cast(pa.string()))
        self._picture = _joined(table["picture"].cast(pa.binary()))

    def __len__(self) -> int:
        return len(self.sample_ids)

    def shown(self, row: int) -> str:
        """Returns the path, the text or the JSON object of a row."""
        return str(self._shown[row].as_py())

    def picture(self, row: int) -> bytes | None:
        """Returns the PNG of a row; None if its image is a file, or if it is no image."""
        found: bytes | None = self._picture[row].as_py()
        return found


def page_path(run_path: Path) -> Path:
    """Returns the folder of the page's files."""
    return run_path / "page"


def page_json_path(run_path: Path) -> Path:
    """Returns the file of what concerns the whole run, which is written last."""
    return page_path(run_path) / "page.json"


def is_whole(run_path: Path) -> bool:
    """Returns whether the trainer has written the folder."""
    return page_json_path(run_path).is_file()


def write_page(run_path: Path, page: Page, samples: Iterable[ShownSample]) -> None:
    """Writes the folder's files, each atomically.

    Args:
        run_path: The run directory.
        page: What concerns the whole run.
        samples: All samples, validation samples included; ids all int or all str.
    """
    folder = page_path(run_path)
    with replacing(folder / "samples.parquet") as temporary:
        _write_samples(samples, temporary)
    facts = {
        "version": VERSION,
        **{name: getattr(page, name) for name in page.__dataclass_fields__},
        "initial": [[sample_id, label] for sample_id, label in page.initial.items()],
    }
    with replacing(page_json_path(run_path)) as temporary:
        temporary.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def read_page(run_path: Path) -> Page:
    """Reads ``page.json``.

    Raises:
        RunDirectoryError: It is missing, damaged or of another version.
    """
    path = page_json_path(run_path)
    if not path.exists():
        raise RunDirectoryError(
            f"{path}: expected what `lightning-badge loop labelers=page` writes, but there is no "
            "such file; start it first"
        )
    expected = "what the page shows of a run"
    facts = read_json(path, expected, RunDirectoryError, mend=_AGAIN)
    with one_line(path, expected, RunDirectoryError, mend=_AGAIN):
        version = facts.pop("version")
        if version == VERSION:
            for name in ("class_names", "validation"):
                facts[name] = tuple(facts[name])
            return Page(**{**facts, "initial": dict(facts["initial"])})
    raise RunDirectoryError(f"{path}: expected version {VERSION}, got {version!r}; {_AGAIN}")


def read_samples(run_path: Path) -> PageSamples:
    """Reads ``samples.parquet``.

    Raises:
        RunDirectoryError: It is missing or damaged.
    """
    path = page_path(run_path) / "samples.parquet"
    expected = "what people see of samples"
    table = read_parquet(path, expected, RunDirectoryError, mend=_AGAIN)
    with one_line(path, expected, RunDirectoryError, mend=_AGAIN):
        return PageSamples(table)


def _write_samples(samples: Iterable[ShownSample], path: Path) -> None:
    blocks = _blocks(samples)
    first = next(blocks, [])
    is_int = not first or isinstance(first[0].sample_id, int)
    schema = pa.schema(
        {
            "sample_id": pa.int64() if is_int else pa.string(),
            "shown": pa.string(),
            "picture": pa.binary(),
        }
    )
    with pq.ParquetWriter(path, schema) as writer:
        for block in itertools.chain([first], blocks):
            writer.write_table(
                pa.table(dict(zip(schema.names, _columns(block), strict=True)), schema)
            )


def _blocks(samples: Iterable[ShownSample]) -> Iterator[list[ShownSample]]:
    rows = iter(samples)
    while block := list(itertools.islice(rows, _AT_ONCE)):
        yield block


def _columns(block: list[ShownSample]) -> list[list[Any]]:
    return [[getattr(row, name) for row in block] for name in ShownSample._fields]


def _joined(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)

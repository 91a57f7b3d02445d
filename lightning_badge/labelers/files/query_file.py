"""The files that a query is written to: CSV for people, and formats of other tools."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_badge.csv_file import write_rows
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError, LabelError
from lightning_badge.exports.export import export_names, exports
from lightning_badge.labelers.files.rows import read_rows
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.next_sample import Offer, Query


@dataclass(frozen=True)
class Shown:
    """What people see of a sample: its path, its text or its row."""

    name: str
    of: Mapping[SampleId, str]

    @classmethod
    def of_data(cls, datamodule: ActiveLearningDataModule) -> "Shown | None":
        """Returns what the samples of a folder show; None for other data."""
        samples = getattr(datamodule, "samples", None)
        if samples is None or not samples.shown:
            return None
        return cls(samples.shown_as, dict(zip(samples.sample_ids, samples.shown, strict=True)))


def write_query(path: Path, query: Query, offers: Sequence[Offer], shown: Shown | None) -> None:
    """Writes a query as CSV with an empty column for the labels.

    The columns are rank (empty for validation samples), sample_id, what the sample shows, guess
    (the class that the model predicts; empty for validation samples) and label.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows: list[list[Any]] = [
            ["rank", "sample_id", *([shown.name] if shown else []), "guess", "label"]
        ]
        for offer in offers:
            seen = [shown.of.get(offer.sample_id, "")] if shown else []
            rows.append([offer.rank, offer.sample_id, *seen, query.guess(offer), ""])
        write_rows(file, rows)


def keep_filled_in(path: Path, answers: Path) -> None:
    """Copies a query file to the answers if someone filled in labels, before it is replaced."""
    try:
        is_filled_in = path.is_file() and bool(read_rows(path))
    except BadgeError:
        is_filled_in = True  # not a file that `write_query` wrote
    if is_filled_in:
        content = path.read_bytes()
        digest = hashlib.blake2b(content, digest_size=4).hexdigest()
        with replacing(answers / f"{path.stem}-{digest}{path.suffix}") as temporary:
            temporary.write_bytes(content)


def check_export(to: str | None) -> str | None:
    """Returns a format that a query can be written in, or raises a LabelError with all formats."""
    names = [name for name in export_names() if exports()[name].suffix]
    if to is None or to in names:
        return to
    raise LabelError(f"labelers.export: expected null or one of {', '.join(names)}, got {to!r}")


def export_query(
    path: Path,
    to: str,
    offers: Sequence[Offer],
    shown: Shown | None,
    fields: Mapping[str, str],
) -> Path:
    """Writes a query in the format of another tool; the rank is the place in the query.

    Args:
        path: Path of the CSV file; the suffix is replaced.
        to: Name of the format.
        offers: The samples of the query.
        shown: What the samples show: the field ``image`` of paths, ``text`` of texts.
        fields: Further fields of each sample, as templates over ``{sample_id}``.
    """
    export = exports()[to]
    templates = {**export.fields, **fields}
    name = {"path": "image"}.get(shown.name, shown.name) if shown else ""

    def rows() -> Iterator[dict[str, Any]]:
        for place, offer in enumerate(offers):
            own = {name: shown.of.get(offer.sample_id, "")} if shown else {}
            own |= {key: text.format(sample_id=offer.sample_id) for key, text in templates.items()}
            yield {
                "rank": place,
                "sample_id": offer.sample_id,
                "gain": None,
                "coverage": None,
                "hallucinated_label": None,
                "confidence": None,
                "fields": own,
            }

    names = list(dict.fromkeys([*([name] if shown else []), *templates]))
    written = (
        path.with_suffix(export.suffix)
        if export.suffix != path.suffix
        else path.with_name(f"{path.stem}-{to}{export.suffix}")
    )
    export.write(rows(), names, written)
    return written

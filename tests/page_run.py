"""Run directories for the labeling page, built without training.

``python tests/page_run.py DIR [images|texts|tables] [N]`` builds one to look at.
"""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lightning_badge.labelers.page.page_files import Page, ShownSample, write_page
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import write_ordering
from lightning_badge.review_file import NAME, Review, write_review
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

CLASSES = ("cat", "dog", "other")


def png(number: int, side: int = 32) -> bytes:
    """Returns a picture that differs from those of other numbers."""
    pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def ids_of(count: int) -> list[str]:
    return [f"{number:04d}" for number in range(count)]


def begin_run(
    path: Path,
    count: int = 30,
    *,
    kind: str = "images",
    classes: Sequence[str] = CLASSES,
    **page: Any,
) -> list[str]:
    """Creates a run whose model is being trained: no ordering yet. Returns the sample ids."""
    ids, facts = ids_of(count), Page("samples", kind, tuple(classes), **page)
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        store.cut(0)
        write_page(directory.path, facts, shown(ids, kind))
    return ids


def shown(ids: Sequence[str], kind: str) -> Iterator[ShownSample]:
    for number, sample_id in enumerate(ids):
        if kind == "images":
            yield ShownSample(sample_id, "", png(number))
        elif kind == "texts":
            yield ShownSample(sample_id, f"Text number {number}.\nIt has <b>two</b> lines.")
        else:
            row = {"size": number, "color": "red" if number % 2 else "blue", "weight": None}
            yield ShownSample(sample_id, json.dumps(row))


def publish(
    path: Path, round: int, ranked: Sequence[SampleId], *, allowed: int | None = None
) -> None:
    """Writes the files of a trained round and commits its allowance, as the loop does."""
    directory = RunDirectory(path)
    with LabelStore(directory.labels_path) as store:
        if not (cuts := store.cuts(round)):
            cuts = [store.cut(round)]
        count = len(ranked)
        ordering = Ordering(
            np.array(ranked, dtype=object if isinstance(ranked[0], str) else np.int64),
            gains=np.linspace(9, 1, count),
            hallucinated_label=np.arange(count, dtype=np.int32) % 2,
            confidence=np.linspace(0.4, 0.9, count, dtype=np.float32),
        )
        write_ordering(ordering, directory.ordering_path(round))
        facts = {"round": round, "labeled": 0, "pool": count, "attempt": cuts[-1].attempt}
        directory.metrics_path(round).write_text(json.dumps(facts))
        store.changes.add("allowance", round=round, labels=allowed)


def review(path: Path, round: int, ids: Sequence[str], labeled: Sequence[str]) -> None:
    """Writes what the model predicts: class 1 for all, more confidently for later ids."""
    is_labeled = [sample_id in labeled for sample_id in ids]
    nearest = [None if known else list(labeled[:3]) for known in is_labeled]
    table = Review(
        np.array(ids, object),
        np.array(is_labeled),
        np.ones(len(ids), np.int32),
        np.linspace(0.5, 1, len(ids), dtype=np.float32),
        nearest,
    )
    write_review(table, RunDirectory(path).round_path(round) / NAME)


@contextmanager
def store_of(path: Path) -> Iterator[LabelStore]:
    with LabelStore(path / "labels.db") as store:
        yield store


if __name__ == "__main__":
    folder, what, many = [*sys.argv[1:], *("images", "300")[len(sys.argv) - 2 :]]
    publish(Path(folder), 0, begin_run(Path(folder), int(many), kind=what))
    print(f"lightning-badge label {folder}")

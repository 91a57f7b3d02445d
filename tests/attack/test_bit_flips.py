"""Single bytes of good files are replaced: each file is refused, or read as the same content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering, write_ordering

Content = Any


def ordering_file(path: Path, ids: list[Any]) -> Callable[[], Content]:
    n = len(ids)
    draw = np.random.default_rng(3)
    ordering = Ordering(
        np.array(ids, dtype=np.object_ if isinstance(ids[0], str) else np.int64),
        gains=np.where(np.arange(n) == 0, np.nan, draw.random(n)),
        hallucinated_label=draw.integers(-1, 5, n).astype(np.int32),
        confidence=draw.random(n).astype(np.float32),
        coverage=np.linspace(0, 1, n).astype(np.float32),
        metadata={"strategy": "badge", "round": 2, "seed": 7, "pool": "ab" * 8},
    )
    write_ordering(ordering, path)

    def read() -> Content:
        found = read_ordering(path)
        columns = {name: (v.dtype.str, v.tobytes()) for name, v in found.columns().items()}
        return found.sample_ids.tolist(), columns, dict(found.metadata)

    return read


KINDS: dict[str, Callable[[Path], Callable[[], Content]]] = {
    "text ids": lambda path: ordering_file(path, [f"img_{row:03}" for row in range(60)]),
    "int ids": lambda path: ordering_file(path, list(range(1000, 1060))),
    "one row": lambda path: ordering_file(path, ["only"]),
}


def read_as_something_else(path: Path, read: Callable[[], Content], flips: int) -> list[str]:
    """Returns the flips that were neither refused nor without effect."""
    good, content = path.read_bytes(), read()
    draw = np.random.default_rng(0)
    places = draw.integers(0, len(good), flips)
    wrong = []
    for place, change in zip(places.tolist(), draw.integers(1, 256, flips).tolist(), strict=True):
        torn = bytearray(good)
        torn[place] ^= change
        path.write_bytes(torn)
        try:
            found = read()
        except BadgeError:
            continue
        if found != content:
            wrong.append(f"byte {place} of {len(good)} ^ {change:#04x}")
    path.write_bytes(good)
    return wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # a flip that makes the file look foreign is what this finds
def test_no_flip_is_read_as_something_else(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    read = KINDS[kind](path)
    assert read_as_something_else(path, read, 200) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_no_flip_of_thousands_is_read_as_something_else(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    read = KINDS[kind](path)
    assert read_as_something_else(path, read, 20_000) == []

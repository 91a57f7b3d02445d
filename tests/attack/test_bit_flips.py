"""Single bytes of good files are replaced: each file is refused, or read as the same content."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from good_files import KINDS, WITH_DIGEST

from lightning_badge import BadgeError

# A flip that makes a file look like that of another program, with a warning, is what this finds.
pytestmark = pytest.mark.filterwarnings("ignore")


def read_as_something_else(kind: str, folder: Path, flips: int) -> list[str]:
    """Returns the flips that were neither refused nor without effect."""
    path, read = KINDS[kind](folder)
    good, content = path.read_bytes(), as_text(read())
    draw = np.random.default_rng(0)
    places = draw.integers(0, len(good), flips)
    wrong = []
    for place, change in zip(places.tolist(), draw.integers(1, 256, flips).tolist(), strict=True):
        torn = bytearray(good)
        torn[place] ^= change
        path.write_bytes(torn)
        try:
            found = as_text(read())
        except BadgeError:
            continue
        if found != content:
            wrong.append(f"byte {place} of {len(good)} ^ {change:#04x}")
    return wrong


def as_text(content: Any) -> str:
    return repr(content)  # in which NaN is NaN


@pytest.mark.parametrize("kind", WITH_DIGEST)
def test_no_flip_is_read_as_something_else(kind: str, tmp_path: Path) -> None:
    assert read_as_something_else(kind, tmp_path, 200) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", WITH_DIGEST)
def test_no_flip_of_thousands_is_read_as_something_else(kind: str, tmp_path: Path) -> None:
    assert read_as_something_else(kind, tmp_path, 20_000) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITH_DIGEST])
def test_a_flip_of_any_other_file_is_no_error_of_another_kind(kind: str, tmp_path: Path) -> None:
    read_as_something_else(kind, tmp_path, 5_000)


def test_the_flips_of_a_file_without_a_digest_are_found(tmp_path: Path) -> None:
    """What this module asserts of files with a digest is not true of all files."""
    assert read_as_something_else("foreign ordering", tmp_path, 200)

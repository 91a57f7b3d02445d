"""The page's files come back as they were written, and torch is not needed to read them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_badge.exceptions import ArtifactError, RunDirectoryError
from lightning_badge.labelers.page.page_files import (
    Page,
    ShownSample,
    is_whole,
    page_path,
    read_page,
    read_samples,
    write_page,
)
from lightning_badge.review_file import Review, read_review, write_review

PAGE = Page("photos", "images", ("cat", "dog"), initial={"a/1.png": 1}, validation=("a/2.png",))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ROWS = st.one_of(
    st.lists(st.builds(ShownSample, st.integers(-(2**63), 2**63 - 1), TEXT)),
    st.lists(st.builds(ShownSample, TEXT, TEXT, st.none() | st.binary(max_size=9))),
)


@settings(deadline=None, max_examples=30)
@given(rows=ROWS)
def test_samples_come_back(rows: list[ShownSample], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("run")
    write_page(path, PAGE, rows)
    samples = read_samples(path)
    assert [
        ShownSample(sample_id, samples.shown(row), samples.picture(row))
        for row, sample_id in enumerate(samples.sample_ids.tolist())
    ] == rows
    assert len(samples) == len(rows)


def test_samples_of_several_blocks_keep_their_order(tmp_path: Path) -> None:
    write_page(tmp_path, PAGE, (ShownSample(n, str(n), bytes([n % 7])) for n in range(2500)))
    samples = read_samples(tmp_path)
    assert samples.sample_ids.tolist() == list(range(2500))
    assert [samples.shown(row) for row in (0, 999, 1000, 2499)] == ["0", "999", "1000", "2499"]
    assert samples.picture(2499) == bytes([2499 % 7])


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        Page("reviews", "texts", ("x", "y"), guidelines="<h1>Ä</h1>", guess=True, overlap=2),
        Page(
            "t", "tables", ("x", "y"), multilabel=True, initial={7: [0.0, 1.0]}, validation=(1, 3)
        ),
    ],
)
def test_the_page_comes_back(page: Page, tmp_path: Path) -> None:
    assert not is_whole(tmp_path)
    write_page(tmp_path, page, [])
    assert is_whole(tmp_path)
    assert read_page(tmp_path) == page


def test_the_page_is_written_last(tmp_path: Path) -> None:
    def broken() -> Any:
        yield ShownSample(1, "one")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_page(tmp_path, PAGE, broken())
    assert not is_whole(tmp_path)
    assert list(page_path(tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1}', "cannot be read"),
        ('{"version": 2}', "expected version 1, got 2"),
    ],
)
def test_a_page_that_is_none_is_one_line(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        page_path(tmp_path).mkdir()
        (page_path(tmp_path) / "page.json").write_text(text)
    with pytest.raises(RunDirectoryError, match=message) as caught:
        read_page(tmp_path)
    assert "\n" not in str(caught.value)


def test_samples_that_are_damaged_are_one_line(tmp_path: Path) -> None:
    write_page(tmp_path, PAGE, [ShownSample("a")])
    file = page_path(tmp_path) / "samples.parquet"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        read_samples(tmp_path)


@pytest.mark.parametrize("ids", [[7, 3, 5], ["ä", "b", "c"]])
def test_a_review_comes_back(ids: list[Any], tmp_path: Path) -> None:
    array = np.array(ids, dtype=np.int64 if isinstance(ids[0], int) else object)
    review = Review(
        array,
        np.array([True, False, False]),
        np.array([0, 2, 1], dtype=np.int32),
        np.array([0.5, 0.25, 1.0], dtype=np.float32),
        [None, [ids[0]], []],
    )
    write_review(review, tmp_path / "review.parquet")
    again = read_review(tmp_path / "review.parquet")
    for name, value in vars(review).items():
        assert list(getattr(again, name)) == list(value), name
        assert getattr(getattr(again, name), "dtype", None) == getattr(value, "dtype", None)


def test_a_review_without_a_column_is_one_line(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"sample_id": [1]}), tmp_path / "review.parquet")
    for name in ("review.parquet", "missing.parquet"):
        with pytest.raises(ArtifactError, match="cannot be read") as caught:
            read_review(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    write_page(tmp_path, PAGE, [])
    facts = json.loads((page_path(tmp_path) / "page.json").read_text())
    assert facts["initial"] == [["a/1.png", 1]]
    assert facts["class_names"] == ["cat", "dog"]


@pytest.mark.slow
def test_reviews_and_pages_need_no_torch() -> None:
    code = "import lightning_badge.review_file, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

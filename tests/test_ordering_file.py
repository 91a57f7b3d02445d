import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lightning_badge import file_limits
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import ArtifactError, OrderingError
from lightning_badge.ordering import Ordering, order
from lightning_badge.ordering_digest import DIGEST_KEY, METADATA_KEY, with_digest
from lightning_badge.ordering_file import read_ordering, write_ordering

DATA = Path(__file__).parent / "data"
GOLDEN = {"1.0": DATA / "ordering_v1.parquet", "1.1": DATA / "ordering_v1_1.parquet"}


def make_ordering(**metadata: object) -> Ordering:
    generator = torch.Generator().manual_seed(0)
    embedding = GradientEmbedding.from_logits(
        torch.randn(8, 3, generator=generator),
        torch.randn(8, 4, generator=generator),
        sample_ids=[f"img_{row}" for row in range(8)],
    )
    ordering = order(embedding, seed=1)
    return Ordering(
        ordering.sample_ids,
        **ordering.columns(),
        metadata={**ordering.metadata, "round": 2, "checkpoint": "best.ckpt", **metadata},
    )


def assert_same(left: Ordering, right: Ordering) -> None:
    assert left.sample_ids.tolist() == right.sample_ids.tolist()
    assert left.columns().keys() == right.columns().keys()
    for name, values in left.columns().items():
        np.testing.assert_array_equal(values, right.columns()[name])
        assert values.dtype == right.columns()[name].dtype


def test_a_written_ordering_is_read_back(tmp_path: Path) -> None:
    written = make_ordering()
    read = read_ordering(write_ordering(written, tmp_path / "deep" / "ordering.parquet"))
    assert_same(written, read)
    assert dict(written.metadata).items() <= dict(read.metadata).items()
    assert read.metadata["format_version"] == "1.1"
    assert read.metadata["n_ordered"] == 8
    assert {"lightning", "torch", "python"} <= read.metadata["versions"].keys()


def test_missing_columns_stay_missing(tmp_path: Path) -> None:
    bare = Ordering(np.array([5, 3]), hallucinated_label=np.array([1, -1], dtype=np.int32))
    read = read_ordering(write_ordering(bare, tmp_path / "o.parquet"))
    assert_same(bare, read)
    assert read.gains is None
    assert pq.read_table(tmp_path / "o.parquet")["hallucinated_label"].to_pylist() == [1, None]


@pytest.mark.parametrize("ids", [[], [2, 1], ["b", "a"]])
def test_int_str_and_no_ids_are_read_back(tmp_path: Path, ids: list) -> None:
    read = read_ordering(write_ordering(Ordering(np.array(ids)), tmp_path / "o.parquet"))
    assert read.sample_ids.tolist() == ids


def test_ids_of_any_text_are_read_back(tmp_path: Path) -> None:
    ids = ["a", "a\0", "a\0\0", "\0", "", "\U0001f600", "x" * 10_000, "a\n"]
    path = write_ordering(Ordering(np.array(ids, dtype=np.object_)), tmp_path / "o.parquet")
    read = read_ordering(path)
    assert read.sample_ids.tolist() == ids
    assert read.sample_ids.dtype == np.object_


def test_pandas_and_pyarrow_read_the_file(tmp_path: Path) -> None:
    path = write_ordering(make_ordering(), tmp_path / "o.parquet")
    schema = pq.read_schema(path)
    assert {field.name: str(field.type) for field in schema} == {
        "rank": "int64",
        "sample_id": "string",
        "gain": "double",
        "hallucinated_label": "int32",
        "confidence": "float",
        "coverage": "float",
    }
    assert json.loads(schema.metadata[METADATA_KEY])["strategy"] == "badge"
    frame = pd.read_parquet(path)
    assert frame["rank"].tolist() == list(range(8))
    assert np.isnan(frame["gain"][0])


@pytest.mark.parametrize("version", GOLDEN)
def test_the_golden_file_stays_readable(version: str) -> None:
    ordering = read_ordering(GOLDEN[version])
    assert ordering.metadata["format_version"] == version
    assert ordering.sample_ids.tolist() == ["img_3", "img_1", "img_0", "img_2"]
    np.testing.assert_array_equal(ordering.gains, [np.nan, 2.5, 0.25, 0.0])
    assert ordering.hallucinated_label.tolist() == [0, 2, 1, 2]
    assert ordering.confidence.tolist() == [0.5, 0.625, 0.75, 1.0]
    assert ordering.coverage.tolist() == [0.0, 0.5, 0.875, 1.0]
    assert ordering.metadata["strategy"] == "badge"
    assert ordering.metadata["round"] == 3


def write_raw(path: Path, columns: dict, metadata: dict | bytes | None = None) -> Path:
    table = pa.table(columns)
    if metadata is not None:
        raw = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
        table = table.replace_schema_metadata({METADATA_KEY: raw})
    pq.write_table(table, path)
    return path


def test_an_ordering_of_another_program_is_read_with_a_warning(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "o.parquet", {"sample_id": ["b", "a"], "rank": [1, 0], "x": [1, 2]})
    with pytest.warns(UserWarning, match="ordering of another program"):
        ordering = read_ordering(path)
    assert ordering.sample_ids.tolist() == ["a", "b"]
    assert ordering.metadata == {}


def test_unknown_keys_are_ignored_and_newer_minor_versions_read(tmp_path: Path) -> None:
    metadata = {"format_version": "1.9", "new": 1}
    table = with_digest(pa.table({"rank": [0], "sample_id": [4]}), json.dumps(metadata).encode())
    pq.write_table(table, tmp_path / "o.parquet")
    assert read_ordering(tmp_path / "o.parquet").metadata["new"] == 1


VERSION = {"format_version": "1.0"}


@pytest.mark.parametrize(
    ("columns", "metadata", "message"),
    [
        ({"rank": [0], "sample_id": [1]}, {"format_version": "2.0"}, "format 2.0.*reads format 1"),
        ({"rank": [0], "sample_id": [1]}, {}, "JSON object with format_version"),
        ({"rank": [0], "sample_id": [1]}, b"\xff", "JSON object with format_version"),
        ({"sample_id": [1]}, VERSION, "expected columns rank and sample_id, got sample_id"),
        ({"rank": ["0"], "sample_id": [1]}, VERSION, "rank: expected integers, got string"),
        ({"rank": [0], "sample_id": [1.5]}, VERSION, "sample_id: expected integers or strings"),
        ({"rank": [0], "sample_id": [1], "gain": ["x"]}, VERSION, "gain: expected numbers"),
        ({"rank": [0, 2], "sample_id": [1, 2]}, VERSION, "expected a row of rank 1 .*got 2"),
        ({"rank": [0, 0], "sample_id": [1, 2]}, VERSION, "expected a row of rank 1 .*got 0"),
        ({"rank": [0, None], "sample_id": [1, 2]}, VERSION, "rank: .*got 1 nulls"),
        ({"rank": [0, 1], "sample_id": [7, 7]}, VERSION, "sample_id, rank 1: .*7 came more"),
        ({"rank": [0, 1], "sample_id": ["a", None]}, VERSION, "sample_id, rank 1: .*got null"),
        (
            {"rank": [0], "sample_id": np.array([2**64 - 1], np.uint64)},
            VERSION,
            "below 2.*got 18446744073709551615; ",
        ),
        (
            {"rank": [0], "sample_id": [1], "hallucinated_label": [2**40]},
            VERSION,
            "hallucinated_label: expected int32 values",
        ),
    ],
)
def test_an_invalid_ordering_is_refused(tmp_path, columns, metadata, message) -> None:
    path = write_raw(tmp_path / "o.parquet", columns, metadata)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_ordering(path)
    assert str(path) in str(caught.value)


def test_what_another_program_wrote_over_our_metadata_is_refused(tmp_path: Path) -> None:
    path = write_ordering(make_ordering(), tmp_path / "o.parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 4), path)
    with pytest.raises(
        ArtifactError, match="another digest .*; if another program changed it, rem"
    ):
        read_ordering(path)
    kept = {key: value for key, value in table.schema.metadata.items() if key != DIGEST_KEY}
    pq.write_table(table.replace_schema_metadata(kept), path)
    with pytest.raises(ArtifactError, match="or their digest are missing"):
        read_ordering(path)
    pq.write_table(table.slice(0, 4).replace_schema_metadata(), path)
    with pytest.warns(UserWarning, match="ordering of another program"):
        assert len(read_ordering(path)) == 4


@pytest.mark.parametrize("limit", ["ROWS", "METADATA_BYTES", "DECODED_BYTES"])
def test_a_file_beyond_a_limit_is_refused(limit, tmp_path, monkeypatch) -> None:
    path = write_ordering(Ordering(np.arange(5000)), tmp_path / "o.parquet")
    read_ordering(path)
    monkeypatch.setattr(file_limits, limit, 100)
    monkeypatch.setattr(file_limits, "DECODED_RATIO", 0)
    with pytest.raises(ArtifactError, match="expected at most 100, got [0-9,]+; split"):
        read_ordering(path)


@pytest.mark.long
def test_a_text_that_repeats_is_not_decoded_beyond_the_limit(tmp_path, monkeypatch) -> None:
    """The footer does not say how long the decoded texts are: one text is kept in the file."""
    ids = ["x" * 60_000] * 50_000
    table = pa.table({"rank": range(50_000), "sample_id": pa.array(ids).dictionary_encode()})
    pq.write_table(
        table.cast(pa.schema({"rank": pa.int64(), "sample_id": pa.large_string()})),
        tmp_path / "o.parquet",
    )
    with pytest.raises(ArtifactError, match="decoded bytes: expected at most"):
        read_ordering(tmp_path / "o.parquet")


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b'[["format_version", "1.0"]]', b'{"format_version": "\xff"}', b"1" * 5000],
)
def test_hostile_metadata_are_one_line(raw: bytes, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "o.parquet", {"rank": [0], "sample_id": [1]}, raw)
    with pytest.raises(ArtifactError, match=r"\A[^\n]*JSON object with format_version[^\n]*\Z"):
        read_ordering(path)


def test_text_that_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"rank": [0, 1], "sample_id": bad}), tmp_path / "o.parquet")
    with pytest.raises(ArtifactError, match=r"\A[^\n]*[Ii]nvalid UTF-?8[^\n]*\Z"):
        read_ordering(tmp_path / "o.parquet")


def test_ids_that_no_file_holds_are_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(OrderingError, match="at most 1,048,576 characters"):
        Ordering(["x" * (file_limits.ID_LENGTH + 1)])
    path = write_raw(
        tmp_path / "o.parquet",
        {"rank": [0], "sample_id": ["x" * (file_limits.ID_LENGTH + 1)]},
        VERSION,
    )
    with pytest.raises(ArtifactError, match="expected at most 1,048,576, got 1,048,577"):
        read_ordering(path)


def test_a_truncated_file_is_never_read_as_an_ordering(tmp_path: Path) -> None:
    whole = write_ordering(make_ordering(), tmp_path / "o.parquet").read_bytes()
    for cut in range(0, len(whole), 97):
        (tmp_path / "torn.parquet").write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match="expected a Parquet ordering file, but it"):
            read_ordering(tmp_path / "torn.parquet")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the file does not exist"):
        read_ordering(tmp_path / "o.parquet")


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(tmp_path, monkeypatch) -> None:
    path = write_ordering(make_ordering(), tmp_path / "o.parquet")
    before = path.read_bytes()

    def fail(source: object, target: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_ordering(make_ordering(round=3), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["o.parquet"]

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoders.raw import Raw

from lightning_badge.encoders import FeatureStore, embed_new, load_encoder
from lightning_badge.exceptions import EncoderError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def texts() -> Raw:
    return Raw(["w", "x", "y", "z"], kind="texts", names=IDS)


def test_rows_of_an_npy_file_are_in_the_order_of_the_samples(tmp_path: Path, texts: Raw) -> None:
    np.save(tmp_path / "rows.npy", ROWS.astype(np.float16))
    encoder = load_encoder(str(tmp_path / "rows.npy"), texts, sample_ids=IDS)
    with FeatureStore(tmp_path / "features") as store:
        assert embed_new(store, encoder, texts) == 4
        array, rows = store.read(IDS)
        assert embed_new(store, encoder, texts) == 0
    assert array[rows].tolist() == ROWS.tolist()


def test_rows_of_a_parquet_file_have_ids(tmp_path: Path, texts: Raw) -> None:
    order = [2, 0, 3, 1]
    table = {"sample_id": [IDS[n] for n in order], "features": [ROWS[n].tolist() for n in order]}
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    encoder = load_encoder(str(tmp_path / "rows.parquet"), texts, sample_ids=IDS)
    with FeatureStore(tmp_path / "features") as store:
        embed_new(store, encoder, texts)
        array, rows = store.read(IDS)
    assert array[rows].tolist() == ROWS.tolist()


def test_a_file_with_other_contents_is_another_encoder(tmp_path: Path, texts: Raw) -> None:
    path = tmp_path / "rows.npy"
    with FeatureStore(tmp_path / "features") as store:
        for rows, message in ((ROWS, None), (ROWS + 1, "expected the encoder")):
            np.save(path, rows)
            encoder = load_encoder(str(path), texts, sample_ids=IDS)
            if message is None:
                embed_new(store, encoder, texts)
            else:
                with pytest.raises(EncoderError, match=message):
                    embed_new(store, encoder, texts)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ROWS[:3], "a row for each of 4 samples, got 3"),
        (ROWS.astype(int), "expected floats"),
        (ROWS[0], r"expected floats \[n, width\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, texts: Raw, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "rows.npy", array)
    with pytest.raises(EncoderError, match=message):
        load_encoder(str(tmp_path / "rows.npy"), texts, sample_ids=IDS)


def test_a_parquet_file_without_a_sample_or_a_column_is_refused(tmp_path: Path, texts: Raw) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"sample_id": IDS[:3], "features": ROWS[:3].tolist()}), path)
    with pytest.raises(EncoderError, match="'d'"):
        load_encoder(str(path), texts, sample_ids=IDS)
    pq.write_table(pa.table({"sample_id": IDS}), path)
    with pytest.raises(EncoderError, match="columns sample_id and features"):
        load_encoder(str(path), texts, sample_ids=IDS)
    with pytest.raises(EncoderError, match="columns sample_id and features"):
        load_encoder(str(tmp_path / "none.parquet"), texts, sample_ids=IDS)

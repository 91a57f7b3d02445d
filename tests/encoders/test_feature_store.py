import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.encoders.feature_store import FeatureStore
from lightning_badge.exceptions import EncoderError


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path / "features")
    store.bind("tiny", "f00d", 3)
    return store


def digests(keys: list[str], salt: str = "") -> list[bytes]:
    return [f"{salt}{key}".encode() for key in keys]


def rows(n: int, start: float = 0.0) -> np.ndarray:
    return (np.arange(3 * n, dtype=np.float32) + start).reshape(n, 3)


def test_rows_are_read_as_they_were_stored(store: FeatureStore) -> None:
    missing = store.reserve(["a", "b", "c"], digests(["a", "b", "c"]))
    assert (missing.positions, missing.rows) == ([0, 1, 2], [0, 1, 2])
    store.complete([2, 0, 1], rows(3))
    array, found = store.read(["b", "a"])
    assert array[found].tolist() == [[6.0, 7.0, 8.0], [3.0, 4.0, 5.0]]
    assert isinstance(array, np.memmap)
    assert np.load(store.path, mmap_mode="r").shape == (3, 3)


def test_later_samples_get_rows_behind_the_others(store: FeatureStore) -> None:
    store.complete(store.reserve(["a"], digests(["a"])).rows, rows(1))
    missing = store.reserve(["z", "a", "b"], digests(["z", "a", "b"]))
    assert (missing.positions, missing.rows) == ([0, 2], [1, 2])
    before, _ = store.read(["a"])
    store.complete([1, 2], rows(2, start=10))
    array, found = store.read(["z", "a", "b"])
    assert found == [1, 0, 2]
    assert array[0].tolist() == before[0].tolist()
    assert np.load(store.path).tolist() == array.tolist()
    assert store.counts() == (3, 3)


def test_rows_that_are_not_complete_are_missing_again(store: FeatureStore) -> None:
    store.reserve(["a", "b"], digests(["a", "b"]))
    store.complete([0], rows(1))
    store.close()
    again = FeatureStore(store.folder)
    assert again.reserve(["a", "b"], digests(["a", "b"])).positions == [1]
    with pytest.raises(EncoderError, match="'b' have none"):
        again.read(["a", "b"])


def test_a_row_is_complete_only_once(store: FeatureStore) -> None:
    store.reserve(["a"], digests(["a"]))
    store.complete([0], rows(1))
    with pytest.raises(EncoderError, match="twice"):
        store.complete([0], rows(1))


def test_another_encoder_is_refused(store: FeatureStore) -> None:
    store.bind("renamed", "f00d", 3)  # the same weights in another place
    with pytest.raises(
        EncoderError, match=r"expected the encoder .*\(tiny, .* got other"
    ) as caught:
        store.bind("other", "beef", 3)
    assert "\n" not in str(caught.value)


def test_changed_samples_are_refused(store: FeatureStore) -> None:
    store.reserve(["a", "b"], digests(["a", "b"]))
    with pytest.raises(EncoderError, match="contents of 'b' have changed"):
        store.reserve(["a", "b"], [b"a", b"other"])


def test_samples_may_be_fewer_than_stored(store: FeatureStore) -> None:
    store.reserve(["a", "b"], digests(["a", "b"]))
    store.complete([0, 1], rows(2))
    assert store.reserve(["b"], digests(["b"])).positions == []


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="features cannot be used") as caught:
        FeatureStore(tmp_path / "file" / "features")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_noticed_before_anything_is_embedded(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(
        EncoderError, match="cannot hold 2 rows of 3 numbers: No space left"
    ) as error:
        store.reserve(["a", "b"], digests(["a", "b"]))
    assert "\n" not in str(error.value)
    assert store.counts() == (0, 0)


def test_a_disk_that_becomes_full_completes_nothing(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reserve(["a"], digests(["a"]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(EncoderError, match="cannot be written: No space left"):
        store.complete([0], rows(1))
    assert store.counts() == (0, 1)


def test_a_damaged_table_is_one_line(store: FeatureStore) -> None:
    store.close()
    (store.folder / "rows.db").write_bytes(b"x" * 5000)
    with pytest.raises(EncoderError, match="expected a table of features"):
        FeatureStore(store.folder)


def test_another_programs_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    with sqlite3.connect(tmp_path / "features" / "rows.db") as other:
        other.execute("CREATE TABLE t (a)")
    with pytest.raises(EncoderError, match="another program"):
        FeatureStore(tmp_path / "features")

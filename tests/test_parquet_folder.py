"""Folders of Parquet files, as Spark, Ray Data and others write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch

from lightning_badge import order_files, pool_memory
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_files import read_embedding
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.kernels import Loss

H, C = 5, 3


def rows(n: int, seed: int = 0, start: int = 0, width: int = H, kind: Any = None) -> pa.Table:
    generator = np.random.default_rng(seed)
    kind = kind or pa.list_(pa.float32())
    columns = {
        name: pa.array(generator.normal(size=(n, d)).astype(np.float32).tolist(), type=kind)
        for name, d in (("penultimate", width), ("logits", C))
    }
    other = pa.array(["x"] * n, pa.string())
    return pa.table({"sample_id": np.arange(start, start + n), **columns, "other": other})


def write_parts(folder: Path, sizes: list[int]) -> pa.Table:
    """Writes parts as Spark does, and returns all rows."""
    folder.mkdir()
    parts = [rows(n, seed, start=10_000 * seed) for seed, n in enumerate(sizes)]
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:05}-c000.snappy.parquet", row_group_size=7)
        (folder / f".part-{number:05}-c000.snappy.parquet.crc").touch()
    (folder / "_SUCCESS").touch()
    return pa.concat_tables(parts)


def assert_same(one: GradientEmbedding, other: GradientEmbedding) -> None:
    assert one.sample_ids.tolist() == other.sample_ids.tolist()
    assert (one.loss, one.bias, one.dtype) == (other.loss, other.bias, other.dtype)
    assert one._tensors().keys() == other._tensors().keys()
    for name, values in one._tensors().items():
        assert torch.equal(values, getattr(other, name)), name


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("sizes", [[20], [9, 0, 30, 1], [5000, 4000]])
def test_a_folder_is_what_one_file_is(
    tmp_path: Path, sizes: list[int], loss: Loss, bias: bool
) -> None:
    whole = write_parts(tmp_path / "pool.parquet", sizes)
    pq.write_table(whole, tmp_path / "whole.pq")
    one = read_embedding(file=tmp_path / "whole.pq", loss=loss, bias=bias)
    assert_same(read_embedding(file=tmp_path / "pool.parquet", loss=loss, bias=bias), one)


def test_hive_partitions_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    table = rows(40).append_column("split", pa.array(["b", "a"] * 20))
    partitioning = ds.partitioning(pa.schema([("split", pa.string())]), flavor="hive")
    ds.write_dataset(table, tmp_path / "pool", format="parquet", partitioning=partitioning)
    found = read_embedding(file=tmp_path / "pool")
    assert found.sample_ids.tolist() == [*range(1, 40, 2), *range(0, 40, 2)]
    whole = GradientEmbedding.from_logits(
        *(torch.tensor(table[name].to_pylist()) for name in ("penultimate", "logits"))
    )
    assert torch.equal(found.penultimate[20:], whole.penultimate[::2])


def test_columns_of_tensors_are_lists(tmp_path: Path) -> None:
    table = rows(6)
    columns = {"sample_id": table["sample_id"]}
    for name, d in (("penultimate", H), ("logits", C)):
        flat = pa.array(np.array(table[name].to_pylist(), np.float32).reshape(-1))
        storage = pa.FixedSizeListArray.from_arrays(flat, d)
        kind = pa.fixed_shape_tensor(pa.float32(), [d])
        columns[name] = pa.ExtensionArray.from_storage(kind, storage)
    for name, content in (("tensors", pa.table(columns)), ("lists", table)):
        (tmp_path / name).mkdir()
        pq.write_table(content, tmp_path / name / "0.parquet")
    assert_same(*(read_embedding(file=tmp_path / name) for name in ("tensors", "lists")))


def test_doubles_stay_doubles_also_in_one_file_of_several(tmp_path: Path) -> None:
    write_parts(tmp_path / "pool", [4])
    double = pa.list_(pa.float64())
    pq.write_table(rows(4, start=50, kind=double), tmp_path / "pool" / "part-9.parquet")
    assert read_embedding(file=tmp_path / "pool").dtype == torch.float64


def test_text_ids_and_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    names = [f"img_{n}" for n in range(6)]
    table = rows(6).set_column(0, "sample_id", pa.array(names))
    pq.write_table(table, tmp_path / "pool" / "a.parquet")
    assert read_embedding(file=tmp_path / "pool").sample_ids.tolist() == names
    pq.write_table(table.drop(["sample_id"]), tmp_path / "pool" / "a.parquet")
    assert read_embedding(file=tmp_path / "pool", ids=range(7, 13)).sample_ids.tolist() == [
        *range(7, 13)
    ]
    with pytest.raises(EmbeddingError, match="one for each row, 6, got 2"):
        read_embedding(file=tmp_path / "pool", ids=[1, 2])


def test_orders_a_folder_and_its_labeled_rows(tmp_path: Path) -> None:
    whole = write_parts(tmp_path / "pool", [30, 20])
    write_parts(tmp_path / "labeled", [5])
    pq.write_table(whole, tmp_path / "whole.parquet")
    for strategy in ("badge_labeled", "coreset"):
        given = {"strategy": strategy, "labeled_file": tmp_path / "labeled", "seed": 4}
        one = order_files(file=tmp_path / "whole.parquet", **given)
        assert list(order_files(file=tmp_path / "pool", **given)) == list(one)


class TestMemory:
    @pytest.fixture
    def little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_memory, "free_memory", lambda: 1000)

    @pytest.mark.usefixtures("little")
    def test_rows_that_exceed_memory_lie_in_a_file_that_disappears(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = write_parts(tmp_path / "pool", [50, 40])
        pq.write_table(whole, tmp_path / "whole.parquet")
        before = sorted(tmp_path.rglob("*"))
        with caplog.at_level("INFO", "lightning_badge"):
            mapped = read_embedding(file=tmp_path / "pool")
        (line,) = caplog.messages
        assert "its rows need 0.00 GiB, and 0.00 GiB of memory are free" in line
        assert sorted(tmp_path.rglob("*")) == before
        address = mapped.penultimate.data_ptr()
        maps = Path("/proc/self/maps")
        if maps.exists():
            (owner,) = [at for at in maps.read_text().splitlines() if holds(at, address)]
            assert str(tmp_path) in owner
            assert owner.endswith("(deleted)")
        assert_same(mapped, read_embedding(file=tmp_path / "whole.parquet"))

    @pytest.mark.usefixtures("little")
    def test_a_full_disk_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        write_parts(tmp_path / "pool", [50])
        monkeypatch.setattr("os.posix_fallocate", full)
        with pytest.raises(EmbeddingError, match=r"of disk space .* No space left on device"):
            read_embedding(file=tmp_path / "pool")

    def test_free_memory_is_between_nothing_and_the_machine(self) -> None:
        free = pool_memory.free_memory()
        assert free is None or 2**20 < free < 2**50

    def test_the_limit_of_a_container_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool_memory, "_CGROUP", tmp_path)
        for name, text in (("max", "5000"), ("current", "4000"), ("stat", "anon 1\nfile 300")):
            (tmp_path / f"memory.{name}").write_text(text)
        assert pool_memory.free_memory() == 1300
        (tmp_path / "memory.max").write_text("max\n")
        assert pool_memory.free_memory() != 1300


def holds(line: str, address: int) -> bool:
    first, last = (int(part, 16) for part in line.split()[0].split("-"))
    return first <= address < last


class TestWrongFolders:
    """Each is refused in one line that names the file."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_parts(tmp_path / "pool", [6, 6])
        return tmp_path / "pool"

    def refused(self, folder: Path, expected: str) -> None:
        with pytest.raises(EmbeddingError, match=expected) as error:
            read_embedding(file=folder)
        assert "\n" not in str(error.value)

    def test_nothing_in_it(self, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "empty").mkdir()
        self.refused(tmp_path / "empty", "empty: expected Parquet files")
        for path in folder.glob("part*"):
            pq.write_table(rows(0), path)
        self.refused(folder, "expected one row or more, got 2 empty files")

    def test_other_files(self, folder: Path) -> None:
        (folder / "notes.txt").touch()
        self.refused(folder, r"expected only Parquet files \(.parquet\), got 'notes.txt'")

    @pytest.mark.parametrize(("log", "name"), [("_delta_log", "Delta"), (".hoodie", "Hudi")])
    def test_tables_whose_files_hold_old_rows(self, folder: Path, log: str, name: str) -> None:
        (folder / log).mkdir()
        self.refused(folder, f"a {name} table")

    def test_widths(self, folder: Path) -> None:
        pq.write_table(rows(3, start=90, width=H + 1), folder / "part-9.parquet")
        self.refused(folder, "part-9.*penultimate of one width, 5 as in .*part-00000.*, got 6")

    def test_columns(self, folder: Path) -> None:
        pq.write_table(rows(3, start=90).drop(["logits"]), folder / "part-9.parquet")
        self.refused(folder, "part-9.*expected penultimate and logits.*got sample_id, penultimate")

    def test_ids(self, folder: Path) -> None:
        pq.write_table(rows(3, start=90).drop(["sample_id"]), folder / "part-9.parquet")
        self.refused(folder, "part-9.*expected sample_id; give ids=")
        pq.write_table(rows(3, start=4), folder / "part-9.parquet")
        self.refused(folder, "pool: sample ids: expected distinct ids, but 4, 5 came more than")
        text = rows(2).set_column(0, "sample_id", pa.array(["a", "b"]))
        pq.write_table(text, folder / "part-9.parquet")
        self.refused(folder, "part-9.*ids of one type, int as in .*part-00000.*, got str")
        nulls = rows(2).set_column(0, "sample_id", pa.array([5, None]))
        pq.write_table(nulls, folder / "part-9.parquet")
        self.refused(folder, "part-9.*column sample_id: expected an id in each row, got 1 nulls")

    def test_values(self, folder: Path) -> None:
        bad = rows(2, start=90).to_pydict()
        bad["penultimate"][1][0] = float("nan")
        pq.write_table(pa.table(bad), folder / "part-9.parquet")
        self.refused(folder, r"part-9.*NaN.*\(1 of 2 rows; sample ids 91\)")

    def test_torn_files(self, folder: Path) -> None:
        (folder / "part-9.parquet").write_bytes(b"PAR1 and then nothing that could be read")
        self.refused(folder, "part-9.parquet: expected a Parquet file of embeddings")

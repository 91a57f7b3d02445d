"""Activations and logits in files, as other programs write them."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_blocks import Block, BlockedPool, embed_blocks
from lightning_badge.embedding_files import read_embedding
from lightning_badge.exceptions import EmbeddingError

N, H, C = 7, 4, 3
PENULTIMATE = torch.randn(N, H, generator=torch.Generator().manual_seed(0))
LOGITS = torch.randn(N, C, generator=torch.Generator().manual_seed(1))
IDS = [f"img_{n}" for n in range(N)]


def table(kind: str, ids: bool = True) -> pa.Table:
    def column(values: torch.Tensor) -> pa.Array:
        if kind == "fixed":
            flat = pa.array(values.numpy().reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        make = pa.large_list if kind == "large" else pa.list_
        return pa.array(values.tolist(), type=make(pa.float32()))

    columns = {"penultimate": column(PENULTIMATE), "logits": column(LOGITS), "other": IDS}
    return pa.table({**columns, **({"sample_id": IDS} if ids else {})})


def assert_is_pool(embedding: GradientEmbedding, ids: list[object]) -> None:
    expected = GradientEmbedding.from_logits(PENULTIMATE, LOGITS)
    torch.testing.assert_close(embedding.penultimate, expected.penultimate, rtol=0, atol=0)
    torch.testing.assert_close(embedding.logit_grad, expected.logit_grad, rtol=0, atol=0)
    assert embedding.sample_ids.tolist() == ids


def write(folder: Path, name: str, kind: str = "fixed", chunks: int = 1) -> Path:
    path, rows = folder / name, table(kind)
    if path.suffix == ".parquet":
        pq.write_table(rows, path, row_group_size=-(-N // chunks))
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=-(-N // chunks))
    return path


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_tables(tmp_path: Path, suffix: str, chunks: int, kind: str) -> None:
    path = write(tmp_path, f"pool{suffix}", kind, chunks)
    assert_is_pool(read_embedding(file=path), list(IDS))


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "pool.npz"
    np.savez(path, penultimate=PENULTIMATE.numpy(), logits=LOGITS.numpy(), sample_id=np.array(IDS))
    assert_is_pool(read_embedding(file=path), list(IDS))


def test_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {"penultimate": PENULTIMATE, "logits": LOGITS, "sample_id": torch.arange(N) + 5}
    safetensors.save_file(tensors, tmp_path / "pool.safetensors")
    assert_is_pool(read_embedding(file=tmp_path / "pool.safetensors"), list(range(5, 5 + N)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_npy(tmp_path: Path, dtype: str, order: str) -> None:
    np.save(tmp_path / "p.npy", np.array(PENULTIMATE.numpy(), dtype=dtype, order=order))
    np.save(tmp_path / "l.npy", np.array(LOGITS.numpy(), dtype=dtype, order=order))
    found = read_embedding(tmp_path / "p.npy", tmp_path / "l.npy")
    torch.testing.assert_close(found.penultimate.float(), PENULTIMATE)
    assert found.dtype == (torch.float64 if dtype == "<f8" else torch.float32)


def test_npy_files_are_not_copied_into_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", PENULTIMATE.numpy())
    np.save(tmp_path / "l.npy", LOGITS.numpy())
    found = read_embedding(tmp_path / "p.npy", tmp_path / "l.npy")
    mapped = Path("/proc/self/maps")
    if not mapped.exists():
        pytest.skip("needs /proc")
    address = found.penultimate.data_ptr()
    owner = [line for line in mapped.read_text().splitlines() if holds(line, address)]
    assert owner[0].endswith("p.npy")


def holds(line: str, address: int) -> bool:
    first, last = (int(part, 16) for part in line.split()[0].split("-"))
    return first <= address < last


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a\nb", ["a", "b"]),
        ("7\n12", [7, 12]),
        ("007\n12", ["007", "12"]),
        ("7\nx", ["7", "x"]),
    ],
)
def test_ids_of_a_text_file(tmp_path: Path, lines: str, expected: list[object]) -> None:
    (tmp_path / "ids.txt").write_text(lines + "\n")
    np.save(tmp_path / "p.npy", np.ones((2, 2), np.float32))
    found = read_embedding(tmp_path / "p.npy", tmp_path / "p.npy", ids=tmp_path / "ids.txt")
    assert found.sample_ids.tolist() == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"penultimate": [[1.0]]}, "expected penultimate and logits .*got penultimate"),
        ({"penultimate": [[1.0], [1.0, 2.0]], "logits": [[1.0, 2.0]] * 2}, "lists of one length"),
        ({"penultimate": [[1.0], None], "logits": [[1.0, 2.0]] * 2}, "without nulls"),
        (
            {"penultimate": [1.0], "logits": [[1.0, 2.0]]},
            "a list of floats in each row, got double",
        ),
        ({"penultimate": [["a"]], "logits": [[1.0, 2.0]]}, "expected floats"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, content: dict[str, object], expected: str) -> None:
    pq.write_table(pa.table(content), tmp_path / "pool.parquet")
    with pytest.raises(EmbeddingError, match=expected):
        read_embedding(file=tmp_path / "pool.parquet")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".safetensors", ".npy", ".npz"])
def test_torn_files_are_named(tmp_path: Path, suffix: str) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"pool{suffix}"
    path.write_bytes(b"PAR1 and then nothing that could be read")
    with pytest.raises(EmbeddingError, match="it cannot be read"):
        read_embedding(path, path) if suffix == ".npy" else read_embedding(file=path)


def test_what_is_missing_or_too_much_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="expected penultimate and logits, or one file"):
        read_embedding()
    with pytest.raises(EmbeddingError, match="expected penultimate and logits, or one file"):
        read_embedding("p.npy", "l.npy", file="pool.parquet")
    with pytest.raises(EmbeddingError, match="logits: expected an array, got none"):
        read_embedding("p.npy")
    with pytest.raises(EmbeddingError, match="expected a file, but there is none"):
        read_embedding("p.npy", "l.npy")
    (tmp_path / "pool.txt").touch()
    with pytest.raises(EmbeddingError, match=r"kinds \.parquet"):
        read_embedding(file=tmp_path / "pool.txt")


def test_blocks_with_more_rows_than_their_pool_are_refused(tmp_path: Path) -> None:
    rows = torch.ones(3, 2)
    block = Block(np.arange(3), rows, rows, tmp_path / "rows.parquet")
    pool = BlockedPool(tmp_path, 2, torch.float32, lambda: iter([block]))
    message = rf"rows\.parquet: expected 2 rows in {re.escape(str(tmp_path))}, as its files say"
    with pytest.raises(EmbeddingError, match=message):
        embed_blocks(pool, loss="cross_entropy")

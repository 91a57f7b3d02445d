"""Embeddings in files: activations and logits that another program wrote.

Two arrays make an embedding: ``penultimate`` ``[n, h]`` and ``logits`` ``[n, c]``, as two ``.npy``
files, or together in one Parquet, Arrow, safetensors or ``.npz`` file under these names. Arrays are
mapped into memory where the format allows it (``.npy``, Arrow, safetensors). A folder of Parquet
files or shards is read block by block, so that it may exceed memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from lightning_badge.array_file import read_npy, read_npz
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_blocks import BlockedPool, embed_blocks
from lightning_badge.embedding_columns import ARRAYS, IDS, check_names, floats_of, matrix_of
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import check_limit, decoded_limit, one_line, opened, read_text
from lightning_badge.kernels import Loss
from lightning_badge.parquet_file import table_in
from lightning_badge.parquet_folder import PARQUET, parquet_pool
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids
from lightning_badge.shard_file import safetensors
from lightning_badge.shard_folder import is_shard_folder, shard_pool

ARROW = (".arrow", ".feather", ".ipc")
SAFETENSORS = (".safetensors",)
NPZ = (".npz",)

StrPath = str | os.PathLike[str]


def read_embedding(
    penultimate: StrPath | None = None,
    logits: StrPath | None = None,
    *,
    file: StrPath | None = None,
    ids: StrPath | Iterable[SampleId] | None = None,
    loss: Loss | Literal["auto"] = "auto",
    bias: bool = False,
    backend: str = "auto",
) -> GradientEmbedding:
    """Reads activations and logits and builds their gradient embedding.

    Args:
        penultimate: ``.npy`` file, ``[n, h]`` floats.
        logits: ``.npy`` file, ``[n, c]`` floats.
        file: Instead of both: one Parquet, Arrow, safetensors or ``.npz`` file that holds
            ``penultimate`` and ``logits``, and ``sample_id`` if the rows have ids; or a folder of
            Parquet files of this kind, all with ids, or of shards that `capture_to` wrote.
        ids: Ids of the rows: a text file with one id a line, a ``.npy`` file, or the ids
            themselves. By default those in ``file``, else ``0..n-1``.
        loss: Whose gradient: ``cross_entropy`` or ``binary_cross_entropy``. ``auto`` is the one
            that a folder names, else ``cross_entropy``.
        bias: Whether to embed the gradient of the head's bias as well.
        backend: ``auto``, ``torch``, ``numba`` or ``triton``.

    Raises:
        EmbeddingError: A file that is missing or of another kind, or arrays of other shapes.

    Example:
        >>> read_embedding("activations.npy", "logits.npy")  # doctest: +SKIP
    """
    if (file is None) == (penultimate is None and logits is None):
        raise EmbeddingError("expected penultimate and logits, or one file that holds both")
    if file is not None and Path(file).is_dir():
        given = None if ids is None else as_sample_ids(_ids(ids), error=EmbeddingError)
        return _read_folder(pool_in(Path(file)), given, loss, bias, backend)
    if file is not None:
        arrays, known_ids = _read_file(Path(file))
    elif penultimate is None or logits is None:
        missing = "penultimate" if penultimate is None else "logits"
        raise EmbeddingError(f"{missing}: expected an array, got none; give both arrays")
    else:
        arrays = {"penultimate": _read_npy(Path(penultimate)), "logits": _read_npy(Path(logits))}
        known_ids = None
    return GradientEmbedding.from_logits(
        arrays["penultimate"],
        arrays["logits"],
        loss="cross_entropy" if loss == "auto" else loss,
        bias=bias,
        sample_ids=known_ids if ids is None else _ids(ids),
        backend=backend,
    )


def pool_in(folder: Path) -> BlockedPool:
    """Returns the pool in a folder.

    Raises:
        EmbeddingError: Files of another kind, or that cannot be read.
    """
    return shard_pool(folder) if is_shard_folder(folder) else parquet_pool(folder)


def facts_of(file: StrPath | None) -> dict[str, Any]:
    """Returns what a folder of shards says of its pool, for the metadata of an ordering."""
    if file is None or not is_shard_folder(Path(file)):
        return {}
    return shard_pool(Path(file)).facts or {}


def _read_folder(
    pool: BlockedPool,
    ids: SampleIds | None,
    loss: Loss | Literal["auto"],
    bias: bool,
    backend: str,
) -> GradientEmbedding:
    if ids is not None and len(ids) != pool.n:
        raise EmbeddingError(f"ids: expected one for each row, {pool.n}, got {len(ids)}")
    chosen = (pool.loss or "cross_entropy") if loss == "auto" else loss
    return embed_blocks(pool, loss=chosen, bias=bias, sample_ids=ids, backend=backend)


def _read_file(path: Path) -> tuple[dict[str, Tensor], Iterable[SampleId] | None]:
    _check_exists(path)
    if path.suffix in SAFETENSORS:
        return _read_safetensors(path)
    if path.suffix in NPZ:
        return _read_npz(path)
    if path.suffix not in PARQUET + ARROW:
        kinds = ", ".join(PARQUET + ARROW + SAFETENSORS + NPZ)
        raise EmbeddingError(f"{path}: expected a file of one of the kinds {kinds}")
    with opened(path, f"a {path.suffix} file", EmbeddingError) as file:
        table = table_in(file, {*ARRAYS, IDS}) if path.suffix in PARQUET else _read_arrow(path)
        check_names(path, table.column_names)
        ids = table[IDS].to_pylist() if IDS in table.column_names else None
        return {name: matrix_of(table[name], f"{path}, column {name}") for name in ARRAYS}, ids


def _read_arrow(path: Path) -> pa.Table:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    check_limit("decoded bytes", table.nbytes, decoded_limit(path.stat().st_size))
    table.validate(full=True)  # reading beyond the end of a column would end the process
    return table


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Iterable[SampleId] | None]:
    package = safetensors(str(path))
    with (
        opened(path, f"a {path.suffix} file", EmbeddingError),
        package.safe_open(path, framework="pt") as file,
    ):
        names = set(file.keys())
        check_names(path, sorted(names))
        arrays = {name: file.get_tensor(name) for name in ARRAYS}
        ids = file.get_tensor(IDS).tolist() if IDS in names else None
    return arrays, ids


def _read_npz(path: Path) -> tuple[dict[str, Tensor], Iterable[SampleId] | None]:
    def wanted(names: list[str]) -> list[str]:
        check_names(path, names)
        return [*ARRAYS, *([IDS] if IDS in names else [])]

    found = read_npz(path, EmbeddingError, wanted)
    arrays = {name: floats_of(found[name], f"{path}, {name}") for name in ARRAYS}
    return arrays, _listed(found[IDS], path) if IDS in found else None


def _read_npy(path: Path) -> Tensor:
    _check_exists(path)
    # Copy on write: torch warns of arrays that cannot be written, and nobody writes.
    return floats_of(read_npy(path, EmbeddingError, is_written=True), str(path))


def _ids(ids: StrPath | Iterable[SampleId]) -> Iterable[SampleId]:
    if not isinstance(ids, str | os.PathLike):
        return ids
    path = Path(ids)
    _check_exists(path)
    if path.suffix == ".npy":
        return _listed(read_npy(path, EmbeddingError), path)
    lines = read_text(path, "ids as text in UTF-8, one a line", EmbeddingError).splitlines()
    try:
        numbers = [int(line) for line in lines]
    except ValueError:
        return lines
    # Ids such as 007 are text.
    return numbers if [str(number) for number in numbers] == lines else lines


def _listed(ids: npt.NDArray[Any], path: Path) -> list[SampleId]:
    with one_line(path, "an array of ids", EmbeddingError):
        values: list[SampleId] = ids.tolist()
        return values


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise EmbeddingError(f"{path}: expected a file, but there is none")

"""A folder of shards: a pool that was embedded in pieces, by one process or several.

``manifest.json`` says what was asked for, and, once all shards are there, what they are. It has
``request`` (weights, precision, pool, head, dtype, rows, batches and batches in a shard),
``complete``, and then ``shards`` (file, batches, rows and digest of each) and ``facts`` (head,
``sample_id_source``, ``loss``, ``loss_evidence``), and since version 2 the ``digest`` of all that.
Shard i has the batches from ``i * batches_per_shard`` on, whichever process wrote it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lightning_badge.durable.file import replacing
from lightning_badge.durable.leftovers import sweep
from lightning_badge.embedding_blocks import Block, BlockedPool
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import one_line, printable, read_json
from lightning_badge.kernels import LOSSES
from lightning_badge.shard_file import SUFFIX, ShardFacts, read_shard

MANIFEST = "manifest.json"
FORMAT, VERSION = "lightning-badge embeddings", 2
_DIGEST_SINCE = 2
_EXPECTED = "a manifest of shards"
_WRITTEN = re.compile(rf"{re.escape(MANIFEST)}|shard-\d+-of-\d+{re.escape(SUFFIX)}")
DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Request:
    """What was asked for; shards of another request are not mixed with these.

    Attributes:
        weights: Digest of the model.
        precision: What it computes in, beside the dtype of its weights.
        pool: Digest of the pool's samples and batches.
        head: The head that was named; None if it is found.
        dtype: ``float32`` or ``float16``.
        rows: Number of samples.
        batches: Number of batches.
        batches_per_shard: Number of batches in each shard but the last.
    """

    weights: str
    precision: str
    pool: str
    head: str | None
    dtype: str
    rows: int
    batches: int
    batches_per_shard: int

    @property
    def digest(self) -> str:
        """Of all attributes."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.batches // self.batches_per_shard)

    def batches_of(self, shard: int) -> range:
        """Returns the numbers of a shard's batches."""
        first = shard * self.batches_per_shard
        return range(first, min(first + self.batches_per_shard, self.batches))

    def path(self, folder: Path, shard: int) -> Path:
        """Returns the file of a shard."""
        return folder / f"shard-{shard:06}-of-{self.shards:06}{SUFFIX}"


# Words for the attributes of a request, and what mends a difference.
_DIFFERENCES = {
    "weights": "other weights",
    "precision": "another precision",
    "pool": "another pool",
    "rows": "another pool",
    "batches": "other batches",
    "batches_per_shard": "another number of batches in a shard",
    "head": "another head",
    "dtype": "another dtype",
}


def begin(folder: Path, request: Request) -> None:
    """Creates a folder for a request, or checks that it belongs to the same one.

    Temporary files that a killed process left an hour ago or earlier are removed; other processes
    may be writing shards.

    Raises:
        EmbeddingError: The folder has shards of another request, or other files.
    """
    sweep(folder, _WRITTEN.fullmatch)
    if (folder / MANIFEST).exists():
        known = _known_request(folder)
        for name, words in _DIFFERENCES.items():
            before, now = getattr(known, name), getattr(request, name)
            if before != now:
                raise EmbeddingError(
                    f"{folder}: expected the request whose shards it holds, got {words} ({name} "
                    f"{before} there, {now} now); embed into another folder, or remove this one"
                )
        return
    if folder.exists() and (not folder.is_dir() or any(_visible(folder))):
        raise EmbeddingError(f"{folder}: expected a new or empty folder; choose another one")
    _write(folder, {"request": asdict(request), "complete": False})


def missing_shards(folder: Path, request: Request) -> list[int]:
    """Returns the numbers of the shards that are not there, or damaged.

    Raises:
        EmbeddingError: A shard of another request.
    """
    missing = []
    for shard in range(request.shards):
        path = request.path(folder, shard)
        try:
            facts = read_shard(path)[0] if path.exists() else None
        except EmbeddingError:
            facts = None
        if facts is None:
            missing.append(shard)
        elif facts.request != request.digest:
            raise EmbeddingError(f"{path}: a shard of another request; remove it")
    return missing


def finish(folder: Path, request: Request, loss: str, evidence: str) -> None:
    """Checks that all shards are there, and writes the manifest that says so.

    Raises:
        EmbeddingError: A shard is missing or damaged, or they disagree on the head.
    """
    shards = [read_shard(request.path(folder, shard))[0] for shard in range(request.shards)]
    found = sorted({(facts.head, facts.sample_id_source) for facts in shards})
    if len(found) != 1 or sum(facts.rows for facts in shards) != request.rows:
        raise EmbeddingError(
            f"{folder}: expected shards of one head and one source of ids, {request.rows} rows in "
            f"all, got {found} and {sum(facts.rows for facts in shards)}; remove the folder"
        )
    ((head, source),) = found
    entries = [
        {
            "file": request.path(folder, shard).name,
            "batches": [facts.first, facts.stop],
            "rows": facts.rows,
            "digest": facts.digest,
        }
        for shard, facts in enumerate(shards)
    ]
    said = {"head": head, "sample_id_source": source, "loss": loss, "loss_evidence": evidence}
    content = {"request": asdict(request), "complete": True, "facts": said, "shards": entries}
    _write(folder, content)


def is_shard_folder(folder: Path) -> bool:
    """Whether a folder holds shards, perhaps not all of them."""
    return (folder / MANIFEST).is_file()


def shard_pool(folder: Path) -> BlockedPool:
    """Returns the pool in a folder of shards, in the order of its loader.

    Raises:
        EmbeddingError: The manifest cannot be read, or shards are missing.
    """
    manifest, request = _read(folder), _known_request(folder)
    if not manifest.get("complete"):
        there = sum(request.path(folder, shard).exists() for shard in range(request.shards))
        raise EmbeddingError(
            f"{folder}: expected all {request.shards} shards, got {there}; embed again with the "
            "same arguments, which writes the rest"
        )
    with one_line(folder / MANIFEST, _EXPECTED, EmbeddingError):
        facts = dict(manifest["facts"])
        named = [(str(entry["file"]), entry["digest"]) for entry in manifest["shards"]]
        loss = facts.pop("loss")
        if loss not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}")
        read = partial(_blocks, folder, named)
        return BlockedPool(folder, int(request.rows), torch.float32, read, loss, facts)


def _blocks(folder: Path, named: list[tuple[str, str]]) -> Iterator[Block]:
    for name, digest in named:
        path = folder / name
        facts: ShardFacts
        facts, block = read_shard(path)
        if facts.digest != digest:
            raise EmbeddingError(f"{path}: expected the shard that {MANIFEST} names, got another")
        yield block


def _known_request(folder: Path) -> Request:
    with one_line(folder / MANIFEST, _EXPECTED, EmbeddingError):
        request = Request(**_read(folder)["request"])
        if not request.batches_per_shard > 0 <= request.batches:
            raise ValueError("request: expected positive numbers of batches")
        return request


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = read_json(path, _EXPECTED, EmbeddingError)
    with one_line(path, _EXPECTED, EmbeddingError):
        found = manifest["format"], manifest["version"]
        if found not in [(FORMAT, version) for version in range(1, VERSION + 1)]:
            raise EmbeddingError(
                f"{path}: expected {FORMAT!r} of version {VERSION}, got {printable(str(found))}"
            )
        digest = manifest.pop("digest", None)
        if (digest is not None or found[1] >= _DIGEST_SINCE) and digest != _digest(manifest):
            raise ValueError("its content has another digest than when it was written")
        return dict(manifest)


def _write(folder: Path, content: dict[str, Any]) -> None:
    manifest = {"format": FORMAT, "version": VERSION, **content}
    text = json.dumps({**manifest, "digest": _digest(manifest)}, indent=1)
    try:
        with replacing(folder / MANIFEST) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EmbeddingError(f"{folder}: cannot be written: {error.strerror}") from error


def _digest(manifest: dict[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]

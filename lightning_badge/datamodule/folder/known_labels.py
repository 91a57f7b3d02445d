"""Labels that are known already, their classes, and how a data set encodes them."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_badge.csv_file import as_text, read_csv
from lightning_badge.exceptions import LabelError
from lightning_badge.file_limits import printable
from lightning_badge.labels import as_class_names
from lightning_badge.sample_ids import SampleId, name_ids

SEPARATOR = "|"  # between the classes of one sample
_VALIDATION_SHARE, _LEAST, _MOST = 10, 30, 300


def read_label_file(
    path: Path, sample_ids: Sequence[SampleId], left_out: Collection[str] = ()
) -> dict[SampleId, str]:
    """Reads a CSV file with the columns ``sample_id`` and ``label``.

    The delimiter is a comma, a semicolon or a tab. A row with an empty label is not labeled.

    Args:
        path: The file.
        sample_ids: Ids of all samples.
        left_out: Names of samples that cannot be read; their labels are ignored.

    Returns:
        The label of each labeled sample, in the order of the file.

    Raises:
        BadgeError: The file cannot be read.
        LabelError: A column is missing; an id is unknown, or has two different labels.
    """
    by_name = {str(sample_id): sample_id for sample_id in sample_ids}
    labels: dict[SampleId, str] = {}
    unknown: list[SampleId] = []
    for line, row in read_csv(path):
        if not {"sample_id", "label"} <= row.keys():
            raise LabelError(
                f"{path}: expected the columns sample_id and label, got {printable(', '.join(row))}"
            )
        name, label = as_text(row["sample_id"]), as_text(row["label"]).strip()
        name = name if name in by_name else name.strip()
        if not label or name in left_out:
            continue
        if name not in by_name:
            unknown.append(name)
        elif labels.setdefault(by_name[name], label) != label:
            raise LabelError(
                f"{path}, line {line}: sample {name!r} has the label "
                f"{labels[by_name[name]]!r} in an earlier line, and {label!r} here; keep one"
            )
    if unknown:
        raise LabelError(
            f"{path}: sample ids {name_ids(unknown)} are not in the data; "
            "ids are paths relative to data.path for images, otherwise those of the id column"
        )
    return labels


def class_list(
    given: Sequence[Any] | None, labels: Collection[str], *, multilabel: bool
) -> list[str]:
    """Returns the class names: those given, without blanks at the ends, or those of the labels.

    Raises:
        LabelError: Too few classes, or repeated names.
    """
    if given is not None:
        names = list(as_class_names(map(str, given)))
    else:
        names = sorted({name for label in labels for name in split(label, multilabel=multilabel)})
    if len(names) < 2 or len(set(names)) < len(names):
        raise LabelError(
            f"classes: expected 2 or more different names, got {names}; pass "
            "data.classes=[cat,dog], or labels of these classes by data.labels=FILE.csv"
        )
    return names


def encode(label: str, names: Sequence[str], *, multilabel: bool) -> int | list[float]:
    """Returns the target of a label: the number of its class, or ``[c]`` of 0.0 and 1.0.

    Raises:
        LabelError: A class that is not among the names.
    """
    found = split(label, multilabel=multilabel)
    if unknown := sorted(set(found) - set(names)):
        raise LabelError(
            f"label {label!r}: {unknown} is not among the classes {list(names)}; correct the label "
            "or add the class to data.classes"
        )
    if multilabel:
        return [float(name in found) for name in names]
    return names.index(found[0])


def placeholder(names: Sequence[str], *, multilabel: bool) -> int | list[float]:
    """Returns what stands for an unknown target; it has the type and shape of a target."""
    return [0.0] * len(names) if multilabel else -1


def as_target(encoded: int | list[float]) -> int | Tensor:
    """Returns a target as the data set yields it, so that it collates to one tensor."""
    return encoded if isinstance(encoded, int) else torch.tensor(encoded)


def split(label: str, *, multilabel: bool) -> list[str]:
    """Returns the classes of a label; ``none`` stands for no class where there may be several."""
    if not multilabel:
        return [label.strip()]
    names = [name.strip() for name in label.split(SEPARATOR)]
    return [name for name in names if name and name != "none"]


def draw_validation(labels: Mapping[SampleId, str], size: int | None, seed: int) -> list[SampleId]:
    """Draws validation samples by a seeded hash of their ids.

    The draw of a sample does not depend on the order of the others.

    Args:
        labels: Labeled samples, of which validation samples are drawn.
        size: Their number; a tenth, at least 30, at most 300 and at most half where None.
        seed: Of the hash.

    Returns:
        The validation samples in the order of the hash.

    Raises:
        LabelError: A size that leaves nothing to train on.
    """
    if size is None:
        tenth = min(max(len(labels) // _VALIDATION_SHARE, _LEAST), _MOST)
        size = min(tenth, len(labels) // 2)
    if not 0 <= size < max(len(labels), 1):
        raise LabelError(
            f"val_size: expected fewer than the {len(labels)} known labels, got {size}"
        )
    return sorted(labels, key=lambda sample_id: _hash(sample_id, seed))[:size]


def _hash(sample_id: SampleId, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{sample_id}".encode(), digest_size=16).digest()

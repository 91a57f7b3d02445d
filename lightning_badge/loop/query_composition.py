"""The classes of the labels that each round received."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightning_badge.csv_file import write_rows
from lightning_badge.labels import SKIP, Label, Skip, Undo
from lightning_badge.metrics import QueryComposition


def query_compositions(
    answers: Mapping[int, Sequence[Label | Skip | Undo]], class_names: Sequence[str]
) -> dict[int, QueryComposition]:
    """Counts the classes of each round's labels; rounds without labels are omitted.

    Args:
        answers: The answers in each round; skips do not count.
        class_names: Names of the classes; labels are indices into them.

    Returns:
        A composition for each round; empty if any label is not a class index, as in regression or
        with several labels per sample.
    """
    compositions = {}
    for round, of_round in answers.items():
        labels = [label for label in of_round if label is not SKIP]
        if not all(_is_class(label, len(class_names)) for label in labels):
            return {}
        if labels:
            compositions[round] = QueryComposition(len(class_names), sync_on_compute=False)
            compositions[round].update(torch.tensor(labels, dtype=torch.int64))
    return compositions


def query_composition_csv(
    compositions: Mapping[int, QueryComposition], class_names: Sequence[str]
) -> str:
    """Returns CSV: a line for each round with its labels' entropy and a count for each class."""
    text = io.StringIO()
    rows: list[list[Any]] = [["round", "entropy", *class_names]]
    for round, composition in compositions.items():
        values = composition.compute()
        rows.append([round, f"{values['entropy'].item():.6g}", *values["histogram"].tolist()])
    write_rows(text, rows, line_end="\n")
    return text.getvalue()


def _is_class(label: Label | Skip | Undo, num_classes: int) -> bool:
    return isinstance(label, int) and 0 <= label < num_classes

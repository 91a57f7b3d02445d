"""A table of a few rows, and the commands that label it in different ways, in seconds."""

import csv
from pathlib import Path

import numpy as np

NAMES = ("low", "high")
ROWS = 60


def commands(run_dir: str) -> dict[str, tuple[str, ...]]:
    """Returns the arguments of `lightning-badge` by labelers: dataset, files and page."""
    command = (
        *("loop", "data=folder", "data.path=table.csv", f"run_dir={run_dir}", "export=false"),
        *("trainer.accelerator=cpu", "trainer.max_steps=4", "trainer.val_check_interval=2"),
    )
    classes = f"data.classes=[{','.join(NAMES)}]"
    by_page = ("labelers=page", "labelers.stay=false", "max_rounds=3", "budget.k=8", classes)
    return {
        "dataset": (*command, "labelers=dataset", "max_rounds=3", "budget.k=6"),
        "files": (*command, "labelers=files", "budget=on_demand", "budget.at_least=8", classes),
        "page": (*command, *by_page),
    }


def make_data(folder: Path, is_labeled: bool) -> dict[str, int]:
    """Writes ``table.csv``; returns the label of each sample: the sign of its first value."""
    rows = np.random.default_rng(0).normal(size=(ROWS, 3))
    right = {f"s{n:03d}": int(row[0] > 0) for n, row in enumerate(rows)}
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "a", "b", "c", *(["label"] if is_labeled else [])])
        for (name, label), row in zip(right.items(), rows, strict=True):
            values = [f"{value:.4f}" for value in row]
            writer.writerow([name, *values, *([NAMES[label]] if is_labeled else [])])
    return right

"""Runs of the loop on small data of each kind, as people leave them."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.app.main import main

COUNT = 90
CLASSES = ["above", "<b>below</b>"]
QUICK = ["trainer.max_steps=8", "trainer.val_check_interval=8", "trainer.accelerator=cpu"]
QUICK += ["initial_labels=6", "max_rounds=2", "budget.k=10", "progress=false", "logger=none"]


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_images(folder: Path) -> list[str]:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    rows: list[list[object]] = []
    (folder / "photos" / "sub folder").mkdir(parents=True)
    for n in range(COUNT):
        pixels = rng.integers(0, 120, (12, 12, 3), dtype=np.uint8)
        pixels[6 * (n % 2) :][:6] += 120
        name = f"sub folder/ä{n:02d}.png"
        image.fromarray(pixels).save(folder / "photos" / name)
        rows.append([name, CLASSES[n % 2]])
    write_csv(folder / "photos" / "labels.csv", ["sample_id", "label"], rows)
    return ["data.path=photos", "data.labels=labels.csv", "data.image_size=12"]


def write_texts(folder: Path) -> list[str]:
    words = ["my <card> was stolen & used", "I would like to have a loan"]
    rows = [[n, f"{words[n % 2]}, please answer {n}", CLASSES[n % 2]] for n in range(COUNT)]
    write_csv(folder / "mail.csv", ["id", "text", "label"], rows)
    return ["data.path=mail.csv"]


def write_table(folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    rows = [
        [f"p{n}", *rng.normal(n % 2, 0.5, 3).round(3), "ab"[n % 2], CLASSES[n % 2]]
        for n in range(COUNT)
    ]
    write_csv(folder / "t.csv", ["id", "x", "y", "z", "kind", "label"], rows)
    return ["data.path=t.csv"]


def write_several_classes(folder: Path) -> list[str]:
    names = ["none", "red", "round", "red|round"]
    rows = [[n, n & 1, n >> 1 & 1, n % 7, names[n % 4]] for n in range(COUNT)]
    write_csv(folder / "t.csv", ["id", "x", "y", "z", "label"], rows)
    return ["data.path=t.csv", "data.multilabel=true", "data.val_size=20"]


WRITERS: dict[str, Callable[[Path], list[str]]] = {
    "images": write_images,
    "texts": write_texts,
    "tables": write_table,
    "several": write_several_classes,
}


@pytest.fixture
def writers() -> dict[str, Callable[[Path], list[str]]]:
    """Returns functions that write data with labels into a folder, by kind."""
    return WRITERS


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a function that returns the run directory of a kind of data; the data lie beside."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            data = WRITERS[kind](folder)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setattr(sys, "path", list(sys.path))
                patch.setattr(sys, "argv", list(sys.argv))
                main(["loop", "data=folder", *data, *QUICK, "run_dir=run", "export=false"])
            made[kind] = folder / "run"
        return made[kind]

    return make

"""Runs the loop on a folder of images and a file with their labels, as users do."""

from pathlib import Path

import forked
import numpy as np
import pytest
from printed import printed_rounds

from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.slow

COUNT = 120


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of two classes, bright above or bright below, a broken one, and a label file."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    lines = ["sample_id,label"]
    for n in range(COUNT):
        label = ["above", "below"][n % 2]
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[: 12 if label == "above" else None][-12:] += 120
        (root / label).mkdir(parents=True, exist_ok=True)
        name = f"{label}/{n:03d}.png"
        Image.fromarray(pixels).save(root / name)
        lines.append(f"{name},{label}")
    (root / "broken.jpg").write_bytes(b"not an image")
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def loop(folder: Path, *overrides: str) -> forked.Ended:
    return forked.run(folder, "loop", "data=folder", *overrides)


@pytest.mark.long
def test_labels_of_all_images_make_a_simulated_run(photos: Path, tmp_path: Path) -> None:
    command = ["data.path=photos", "data.labels=labels.csv", "data.image_size=16", "run_dir=run"]
    command += ["trainer.max_steps=30", "trainer.val_check_interval=30", "budget.k=10"]
    command += ["trainer.accelerator=cpu"]
    done = loop(tmp_path, *command, "max_rounds=2")
    assert done.status == 0, done.err
    assert "left out 1 samples" in done.out + done.err
    resumed = loop(tmp_path, *command, "max_rounds=3")
    assert resumed.status == 0, resumed.err
    rounds = printed_rounds(resumed.out)
    assert [cells[:2] for cells in rounds] == [["000", "10"], ["001", "20"], ["002", "30"]]
    assert float(rounds[-1][3]) > 0.8
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        labels = store.labels()
    assert len(labels) == 20  # answers; the 10 initial labels are not asked for
    assert all(label == int(name.startswith("below")) for name, label in labels.items())
    written = {path.name for path in (tmp_path / "run" / "export").iterdir()}
    assert written == {"labels.csv", "best.ckpt", "predictions.parquet", "report.html"}
    assert "labels, model, predictions and report: " in resumed.err
    ordering = read_ordering(tmp_path / "run" / "rounds" / "002" / "ordering.parquet")
    assert len(ordering.sample_ids) == COUNT - 30 - 30  # 30 for validation, 30 labeled
    assert not set(ordering.sample_ids.tolist()) & set(labels)


def test_a_simulated_run_may_begin_without_any_label(photos: Path, tmp_path: Path) -> None:
    command = ["data.path=photos", "data.labels=labels.csv", "data.image_size=16", "run_dir=run"]
    command += ["trainer.max_steps=30", "trainer.val_check_interval=30", "budget.k=4"]
    done = loop(tmp_path, *command, "initial_labels=0", "max_rounds=2", "cold_start=k_center")
    assert done.status == 0, done.err
    assert "no labels yet; ranked by k-center" in done.err
    rounds = printed_rounds(done.out)
    assert [cells[:3] for cells in rounds] == [["000", "0", "4"], ["001", "4", "-"]]
    first = read_ordering(tmp_path / "run" / "rounds" / "000" / "ordering.parquet")
    assert first.metadata["cold_start"] == "k_center"


def test_without_held_back_labels_the_simulation_ends_in_one_line(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "labels.csv").unlink()
    done = loop(tmp_path, "data.path=photos", "data.classes=[above,below]", "run_dir=run")
    assert done.status != 0
    errors = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "0 of 120 samples have a label" in errors[0]
    assert "Traceback" not in done.err

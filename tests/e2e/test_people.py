"""People label by files: three rounds from no label at all, stopped and killed in between."""

import csv
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from printed import printed_rounds

from lightning_badge.app.run_loop import run_loop
from lightning_badge.labels import SKIP
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore

pytestmark = pytest.mark.slow

BANKING = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "banking77" / "train.csv"
COUNT = 300


@dataclass
class Task:
    """Data without labels, and a person who knows the answers.

    Attributes:
        folder: The working folder.
        overrides: Of the command.
        answer: Returns the label of a row of ``query.csv``.
        at_least: Value of the metric that the last model must have.
    """

    folder: Path
    overrides: list[str]
    answer: Callable[[dict[str, str]], str]
    at_least: float


def images(folder: Path) -> Task:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for n in range(COUNT):
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[8 * (n % 3) : 8 * (n % 3) + 8] += 120
        image.fromarray(pixels).save(folder / "photos" / f"{n:03d}.png")
    (folder / "photos" / "broken.png").write_bytes(b"not an image")
    overrides = ["data.path=photos", "data.classes=[top,middle,bottom]", "data.image_size=16"]
    names = ["top", "middle", "bottom"]
    return Task(folder, overrides, lambda row: names[int(row["sample_id"][:3]) % 3], 0.8)


def texts(folder: Path) -> Task:
    if not BANKING.exists():
        pytest.skip(f"{BANKING} is not there")
    with BANKING.open(newline="", encoding="utf-8") as file:
        known = list(csv.DictReader(file))
    known = known[:: len(known) // COUNT]
    text, label = list(known[0])[:2]
    names = sorted({row[label] for row in known})
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["text"], *([row[text]] for row in known)])
    overrides = ["data.path=texts.csv", f"data.classes=[{','.join(names)}]"]
    return Task(folder, overrides, lambda row: known[int(row["sample_id"])][label], 0.0)


def table(folder: Path) -> Task:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(COUNT, 3))
    lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
    (folder / "table.csv").write_text("\n".join(["a,b,c", *lines]))
    overrides = ["data.path=table.csv", "data.classes=[low,high]"]
    names = ["low", "high"]
    return Task(folder, overrides, lambda row: names[int(rows[int(row["sample_id"]), 0] > 0)], 0.8)


COMMAND = [
    *("data=folder", "labelers=files", "budget=on_demand", "run_dir=run", "logger=none"),
    *("trainer.accelerator=cpu", "trainer.max_steps=60", "trainer.val_check_interval=30"),
]

Go = Callable[..., tuple[str, str]]


@pytest.fixture
def go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> Iterator[Go]:
    """Runs the command to its end, in this process to save the imports; returns what it printed."""
    loggers = [logging.getLogger(name) for name in ("", "hydra", "lightning.pytorch")]
    found = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(task: Task) -> tuple[str, str]:
        monkeypatch.chdir(task.folder)
        run_loop([*COMMAND, *task.overrides])
        return capsys.readouterr()

    yield run
    for logger, (level, handlers, propagate) in zip(loggers, found, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def asked(task: Task) -> list[dict[str, str]]:
    with (task.folder / "run" / "query.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answer(task: Task, name: str, rows: list[dict[str, str]]) -> None:
    with (task.folder / "run" / "answers" / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["sample_id", "label", "status"])
        for n, row in enumerate(rows):
            is_skip = n == 4
            label = "" if is_skip else task.answer(row)
            writer.writerow([row["sample_id"], label, "skip" if is_skip else ""])


def kill_in_training(task: Task, round: int) -> None:
    """Runs the command in a process of its own and kills it as soon as it trains a round."""
    process = forked.start(task.folder, "loop", *COMMAND, *task.overrides)
    folder = task.folder / "run" / "rounds" / f"{round:03d}"
    while process.is_alive() and not folder.exists():
        process.join(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()


@pytest.mark.filterwarnings("ignore:photos. left out 1 samples that cannot be read")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(images, marks=pytest.mark.long),
        pytest.param(texts, marks=pytest.mark.long),
        table,
    ],
    ids=lambda make: make.__name__,
)
def test_three_rounds_from_no_label_at_all(
    tmp_path: Path, go: Go, make: Callable[[Path], Task]
) -> None:
    task = make(tmp_path)
    output, errors = go(task)
    (to_do,) = [line for line in output.splitlines() if line.startswith("next: ")]
    assert str(task.folder / "run" / "query.csv") in to_do
    assert errors.count("no labels yet; ranked by k-means++") == 1
    store = task.folder / "run" / "labels.db"
    given: list[str] = []
    for round in range(3):
        rows = asked(task)[:36]
        assert not {row["sample_id"] for row in rows} & set(given), "asked a second time"
        assert [row["rank"] == "" for row in rows[:6]] == [False, False, True] * 2
        given += [row["sample_id"] for row in rows]
        answer(task, f"{round}.csv", rows)
        if round == 1:
            kill_in_training(task, 2)
        output, _ = go(task)
        assert [line for line in output.splitlines() if line.startswith("next: ")]
    with LabelStore(store) as opened:
        answers = opened.answers()
        assert opened.finished_rounds() == [0, 1, 2]
    assert sorted(str(a.sample_id) for a in answers) == sorted(given)
    assert sum(a.label is SKIP for a in answers) == 3
    held_out = {str(a.sample_id) for a in answers if a.rank is None}
    assert len(held_out) == 30 == COUNT // 10
    for round in range(4):
        path = task.folder / "run" / "rounds" / f"{round:03d}" / "ordering.parquet"
        assert not held_out & {str(sample_id) for sample_id in read_ordering(path)}
    with (task.folder / "run" / "learning_curve.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [row["labels"] for row in curve][:2] == ["0", "23"]
    assert float(curve[-1]["val/accuracy"]) >= task.at_least
    best = task.folder / "run" / "rounds" / "003" / "best.ckpt"
    assert torch.load(best, weights_only=True)["state_dict"]


def test_the_same_command_without_new_answers_changes_nothing(tmp_path: Path, go: Go) -> None:
    task = table(tmp_path)
    go(task)
    answer(task, "one.csv", asked(task)[:36])
    go(task)
    files = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.suffix == ".parquet"}
    before = asked(task)
    output, _ = go(task)
    assert asked(task) == before
    assert {path: path.read_bytes() for path in files} == files
    assert "(0 new labels so far)" in output
    answer(task, "two.csv", before[:4])
    output, _ = go(task)
    assert "(3 new labels so far)" in output
    assert asked(task)[0]["sample_id"] == before[4]["sample_id"]


def test_a_new_class_and_no_validation(tmp_path: Path, go: Go) -> None:
    task = table(tmp_path)
    task.overrides += ["validation=none", "budget.at_least=5", "accept_changes=true"]
    _, errors = go(task)
    assert sum("no validation data" in line for line in errors.splitlines()) == 1
    rows = asked(task)[:8]
    assert all(row["rank"] for row in rows)
    text = "".join(f"{row['sample_id']},{task.answer(row)}\n" for row in rows[:7])
    answers = tmp_path / "run" / "answers" / "one.csv"
    answers.write_text(f"sample_id,label\n{text}{rows[7]['sample_id']},middle\n")
    output, _ = go(task)
    assert [cells[:2] for cells in printed_rounds(output)] == [["000", "0"], ["001", "8"]]
    best = tmp_path / "run" / "rounds" / "001" / "best.ckpt"
    assert len(torch.load(best, weights_only=True)["state_dict"]["head.bias"]) == 3
    guesses = {row["guess"] for row in asked(task)}
    assert guesses <= {"low", "high", "middle"}

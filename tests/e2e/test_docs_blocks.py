"""The commands of the site do what they say, as they stand, in a folder that has what they name."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from lightning_badge import read_ordering

pytestmark = pytest.mark.long

DOCS = Path(__file__).parents[2] / "docs"
MY_PROJECT = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).relu())

    def validation_step(self, batch, batch_idx):
        self(batch[0])


def loader(n):
    rows = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(rows), batch_size=8)


class Data(LightningDataModule):
    def val_dataloader(self):
        return loader(8)

    def predict_dataloader(self):
        return loader(120)
"""
# On every start of a run: a small model on one thread.
QUICK = "trainer.max_steps=10 trainer.val_check_interval=5 trainer.accelerator=cpu logger=none"


def lines(page: str, *words: str) -> list[str]:
    """Returns the commands of a page that have all the words, each on one line."""
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\\n", " ")
    found = [
        line.partition("  #")[0]
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if all(word in line for word in words)
    ]
    assert found, f"{page}: no command with {words}"
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], str]:
    """Returns a function that runs a command in a folder and returns what it prints."""
    bin_folder = tmp_path / ".bin"
    bin_folder.mkdir()
    command = bin_folder / "lightning-badge"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lightning_badge "$@"\n')
    command.chmod(0o755)

    def run(line: str) -> str:
        script = f'PATH="{bin_folder}:$PATH"; {line}'
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Writes images of three classes, and the labels of all; returns their names."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    rows = ["sample_id,label"]
    for number in range(60):
        pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        pixels[5 * (number % 3) : 5 * (number % 3) + 5] += 120
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{('cat', 'dog', 'other')[number % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return [f"{number:02d}.png" for number in range(60)]


def test_the_loop_of_the_first_page(tmp_path: Path, shell: Callable[[str], str]) -> None:
    (line,) = lines("start.md", "loop", "budget=variable")
    shell(line)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "rounds/002/ordering.parquet").is_file()
    assert (run / "learning_curve.csv").is_file()


def test_a_folder(tmp_path: Path, shell: Callable[[str], str], photos: list[str]) -> None:
    (line,) = lines("folder.md", "labels.csv")
    shell(f"{line} {QUICK} max_rounds=2")
    (checks,) = lines("command.md", "lightning-badge check")
    assert "duplicates" in shell(f"{checks} {QUICK}")
    (files,) = lines("labeling.md", "labelers=files")
    shell(f"{files} run_dir=by_files {QUICK}")
    assert (tmp_path / "by_files/query.csv").read_text().count("photos/") == len(photos)


def test_a_run_is_inspected_changed_and_exported(
    tmp_path: Path, shell: Callable[[str], str], photos: list[str]
) -> None:
    assert photos
    run = tmp_path / "RUN_DIR"
    begin = (
        "lightning-badge loop data=folder data.path=photos data.classes=[heron,stork] "
        "labelers=files run_dir=RUN_DIR budget=cost budget.limit=50 budget.price=1 budget.k=6 "
    )
    shell(begin + QUICK)
    _, *query = (run / "query.csv").read_text().splitlines()
    answers = [f"{row.split(',')[1]},{('heron', 'stork')[n % 2]}" for n, row in enumerate(query)]
    (run / "answers").mkdir(exist_ok=True)
    (run / "answers/one.csv").write_text("\n".join(["sample_id,label", *answers[:12]]))
    shell(begin + QUICK)  # a model is trained, and guesses the classes
    (first,) = lines("budgets.md", "RUN_DIR limit=500")
    assert "500" in shell(first)
    (tmp_path / "meta.csv").write_text(
        "\n".join(["sample_id,light", *(f"{name},night" for name in photos)])
    )
    for line in lines("budgets.md", "prioritise RUN_DIR"):
        shell(line)
    (line,) = lines("rare_classes.md", "prioritise RUN_DIR")
    shell(line)
    (tmp_path / "backup").mkdir()
    (line,) = lines("resuming.md", "--backup")
    shell(line)
    assert (tmp_path / "backup/labels.db").is_file()
    (line,) = lines("command.md", "status RUN_DIR")
    assert "heron" in shell(line)
    (line,) = lines("command.md", "export RUN_DIR")
    shell(line)
    assert "heron" in (tmp_path / "RUN_DIR/export/labels.csv").read_text()


def test_a_budget_of_several(
    tmp_path: Path, shell: Callable[[str], str], photos: list[str]
) -> None:
    assert photos
    (begin,) = lines("budgets.md", "budget=any_of")
    shell(f"{begin} run_dir=RUN_DIR max_rounds=1 budget.of.money.limit=20 {QUICK}")
    (line,) = lines("budgets.md", "of.money.limit=500")
    assert "500" in shell(line)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes a module with a model and data, a checkpoint, and embeddings in files."""
    (tmp_path / "my_project.py").write_text(MY_PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_project

    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(my_project.Net())
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    monkeypatch.delitem(sys.modules, "my_project")
    acts, logits = torch.rand(1500, 6).numpy(), torch.randn(1500, 4).numpy()
    np.save(tmp_path / "acts.npy", acts)
    np.save(tmp_path / "logits.npy", logits)
    (tmp_path / "ids.txt").write_text("\n".join(f"row {number}" for number in range(1500)))
    columns = {"sample_id": range(1500), "penultimate": list(acts), "logits": list(logits)}
    table = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    (tmp_path / "pool.parquet").mkdir()
    pq.write_table(table, tmp_path / "pool.parquet/part-0.parquet")
    with pa.ipc.new_file(tmp_path / "pool.arrow", table.schema) as file:
        file.write_table(table)
    return tmp_path


def test_orderings_of_files(project: Path, shell: Callable[[str], str]) -> None:
    for words, rows in (
        (("--penultimate",), 1000),
        (("pool.arrow",), 1500),
        (("pool.parquet",), 1500),
        (("--module", "order"), 120),
    ):
        (line,) = (it for it in lines("command.md", *words) if " order " in it)
        shell(line)
        assert len(read_ordering(project / "ordering.parquet")) == rows
    (line,) = lines("command.md", "--to label-studio")
    shell(line)
    assert any(project.glob("ordering*.json"))


def test_embed_then_order(project: Path, shell: Callable[[str], str]) -> None:
    embed, order = (*lines("scale.md", "embed shards"), *lines("scale.md", "order shards"))
    shell(embed)
    shell(order)
    assert len(read_ordering(project / "ordering.parquet")) == 120


def test_the_loop_on_two_processes(shell: Callable[[str], str]) -> None:
    (line,) = lines("scale.md", "trainer=ddp_cpu")
    shell(f"{line} max_rounds=1 trainer.max_steps=10 trainer.val_check_interval=5 logger=none")

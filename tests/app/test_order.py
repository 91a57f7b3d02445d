"""`lightning-badge order`: from files, from a checkpoint, and into the formats of other tools."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from tiny import LIGHTNING_WARNINGS
from torch.utils.data import DataLoader, TensorDataset

from lightning_badge import BadgeCallback, read_ordering
from lightning_badge.app.main import main
from lightning_badge.embedding_files import read_embedding
from lightning_badge.ordering import order

pytestmark = LIGHTNING_WARNINGS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the activations and logits of 60 samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    generator = np.random.default_rng(0)
    np.save("acts.npy", generator.normal(size=(60, 8)).astype(np.float32))
    np.save("logits.npy", generator.normal(size=(60, 5)).astype(np.float32))
    return tmp_path


FILES = ["--penultimate", "acts.npy", "--logits", "logits.npy"]


def test_files_are_ordered_as_in_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("ids.txt").write_text("".join(f"img_{n}.png\n" for n in range(60)))
    main(["order", *FILES, "--ids", "ids.txt", "--k", "9", "--seed", "3"])
    found = read_ordering("ordering.parquet")
    pool = read_embedding("acts.npy", "logits.npy", ids="ids.txt")
    expected = order(pool, k=9, seed=3)
    assert list(found) == list(expected)
    np.testing.assert_array_equal(found.gains, expected.gains)
    printed = capsys.readouterr()
    assert printed.out == ""
    first = ", ".join(list(expected)[:3])
    assert printed.err == f"9 samples, best first ({first}, ...): ordering.parquet\n"


def test_the_arguments_of_a_strategy_are_read_as_yaml(folder: Path) -> None:
    main(["order", *FILES, "--strategy", "coreset", "--arg", "first_center=max_norm", "--k", "5"])
    pool = read_embedding("acts.npy", "logits.npy")
    expected = order(pool, "coreset", k=5, first_center="max_norm")
    assert list(read_ordering("ordering.parquet")) == list(expected)


def test_a_strategy_takes_the_labeled_set_from_files(folder: Path) -> None:
    np.save("a.npy", np.load("acts.npy")[:4])
    np.save("l.npy", np.load("logits.npy")[:4])
    labeled = ["--labeled-penultimate", "a.npy", "--labeled-logits", "l.npy"]
    main(["order", *FILES, *labeled, "--strategy", "badge_labeled"])
    found = read_ordering("ordering.parquet")
    assert set(list(found)[-4:]) == set(range(4))  # copies of the labeled rows come last


def test_the_first_ranks_of_an_ordering_are_written_for_other_tools(folder: Path) -> None:
    main(["order", *FILES, "--k", "6"])
    first = list(read_ordering("ordering.parquet"))
    main(["order", "ordering.parquet", "--to", "jsonl", "--k", "4"])
    rows = [json.loads(line) for line in Path("ordering.jsonl").read_text().splitlines()]
    assert [row["sample_id"] for row in rows] == first[:4]
    main(["order", "ordering.parquet", "--to", "jsonl", "--k", "9"])
    assert len(Path("ordering.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--strategy", "entropy"], "--strategy: o.parquet is an ordering already and was ordered "
         "with strategy coreset, got entropy; leave the option out, or order the embeddings again"),
        (["--seed", "4"], "--seed: .* with seed 3, got 4;"),
        (["--seed", "0"], "--seed: .* with seed 3, got 0;"),
        (["--arg", "first_center=uniform"], "--arg: .*max_norm.*, got .*uniform.*; leave"),
        (["--bias"], "--bias: .* with bias False, got True;"),
        (["--loss", "binary_cross_entropy"], "--loss: .* with loss cross_entropy, got binary"),
        (["--ids", "ids.txt"], "--ids: o.parquet is an ordering already, which takes no such"),
        (["--ckpt", "best.ckpt"], "--ckpt: o.parquet is an ordering already"),
    ],
)  # fmt: skip
def test_options_that_ask_for_another_ordering_are_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    made = ["--strategy", "coreset", "--seed", "3", "--arg", "first_center=max_norm"]
    main(["order", *FILES, *made, "--out", "o.parquet"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["order", "o.parquet", "--to", "jsonl", *options])
    assert re.fullmatch(f"error: {says}.*\n", f"{ended.value}\n")
    assert not Path("ordering.jsonl").exists()
    main(["order", "o.parquet", "--to", "jsonl", *made, "--k", "3", "--no-progress"])
    assert len(Path("ordering.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("to", "name"),
    [("csv", "q.csv"), ("jsonl", "q.jsonl"), ("label-studio", "q.json"), ("fiftyone", "q.csv")],
)
def test_an_ordering_is_written_for_other_tools(folder: Path, to: str, name: str) -> None:
    main(["order", *FILES, "--k", "6"])
    ordering = read_ordering("ordering.parquet")
    main(
        [
            "order",
            "ordering.parquet",
            "--to",
            to,
            "--field",
            "url=s3://b/{sample_id}.png",
            "--out",
            name,
        ]
    )
    if to == "jsonl":
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
        ranks, ids, urls = zip(*((r["rank"], r["sample_id"], r["url"]) for r in rows), strict=True)
    elif to == "label-studio":
        tasks = json.loads(Path(name).read_text())
        rows = [task["data"] for task in tasks]
        scores = [task["predictions"][0]["score"] for task in tasks]
        assert scores == sorted(set(scores))
        assert 0 <= scores[0] < scores[-1] <= 1  # Label Studio drops others
        ranks, ids, urls = zip(
            *((r["badge_rank"], r["sample_id"], r["url"]) for r in rows), strict=True
        )
    else:
        table = pd.read_csv(name)
        rank = {"csv": "rank", "fiftyone": "badge_rank"}[to]
        ranks, ids, urls = table[rank], table["sample_id"], table["url"]
        if to == "fiftyone":
            assert list(table["filepath"]) == list(ids)
    assert list(ranks) == list(range(6))
    assert list(ids) == list(ordering)
    assert list(urls) == [f"s3://b/{n}.png" for n in ordering]


def test_the_default_name_has_the_suffix_of_the_format(folder: Path) -> None:
    main(["order", *FILES, "--to", "jsonl"])
    assert Path("ordering.jsonl").exists()
    assert not Path("ordering.parquet").exists()


class Net(LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = torch.nn.Linear(4, width)
        self.fc = torch.nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.body(x)))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Data(LightningDataModule):
    def loader(self, n: int, seed: int) -> DataLoader[tuple[torch.Tensor, ...]]:
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
        return DataLoader(TensorDataset(x, torch.arange(n) % 3), batch_size=8)

    def train_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        return self.loader(16, 0)

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        return self.loader(8, 1)

    def predict_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        return self.loader(40, 2)


@pytest.fixture
def checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(Net(width=6), datamodule=Data())
    trainer.save_checkpoint("best.ckpt")
    return folder / "best.ckpt"


FROM_CHECKPOINT = ["--module", "mine.Net", "--ckpt", "best.ckpt", "--data", "mine.Data"]


def test_a_checkpoint_is_ordered_as_by_the_callback(checkpoint: Path) -> None:
    main(["order", *FROM_CHECKPOINT, "--k", "10", "--no-progress"])
    badge = BadgeCallback(k=10, dirpath="by_callback")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(callbacks=[badge], accelerator="cpu", **quiet)
    trainer.validate(Net.load_from_checkpoint(checkpoint), datamodule=Data(), verbose=False)
    found = read_ordering("ordering.parquet")
    assert list(found) == list(badge.ordering or [])
    assert found.metadata["head"] == "fc"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mine.Net": "mine.Nit"}, "--module: expected package.Class, got 'mine.Nit'"),
        ({"mine.Net": "mine.Data"}, "--module: expected a LightningModule, got Data"),
        ({"best.ckpt": "none.ckpt"}, "--ckpt: expected a checkpoint, but there is none at none"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(
    checkpoint: Path, change: dict[str, str], expected: str
) -> None:
    arguments = [change.get(argument, argument) for argument in FROM_CHECKPOINT]
    with pytest.raises(SystemExit) as exit:
        main(["order", *arguments])
    assert expected in str(exit.value)
    assert "\n" not in str(exit.value)


def test_a_folder_that_exceeds_memory_is_ordered_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {name: list(np.load(f"{name}.npy")) for name in ("acts", "logits")}
    table = pa.table(
        {"sample_id": range(60), "penultimate": pool["acts"], "logits": pool["logits"]}
    )
    Path("pool").mkdir()
    for part in range(3):
        pq.write_table(table.slice(20 * part, 20), f"pool/part-{part}.parquet")
    monkeypatch.setattr("lightning_badge.pool_memory.free_memory", lambda: 1000)
    main(["order", "pool", "--k", "9", "--seed", "3"])
    expected = order(read_embedding("acts.npy", "logits.npy"), k=9, seed=3)
    assert list(read_ordering("ordering.parquet")) == list(expected)
    said, ordered = capsys.readouterr().err.splitlines()
    assert said.startswith("pool: its rows need 0.00 GiB")
    assert ordered.startswith("9 samples, best first")

"""`lightning-badge embed`: the pool of a checkpoint, in one process or several, to be ordered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from tiny import LIGHTNING_WARNINGS, fit, loader

from lightning_badge import read_ordering
from lightning_badge.app.main import main
from lightning_badge.callback.embed_pool import EmbedPool

pytest.importorskip("safetensors")
pytestmark = LIGHTNING_WARNINGS

MODULE = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.body, self.fc = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.body(x)))

    def validation_step(self, batch, _):
        self(batch[0])


class Data(LightningDataModule):
    def loader(self, n):
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(n))
        return DataLoader(TensorDataset(x, torch.arange(n) % 3), batch_size=8)

    def val_dataloader(self):
        return self.loader(16)

    def predict_dataloader(self):
        return self.loader(203)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    Path("theirs.py").write_text(MODULE)
    import theirs

    torch.manual_seed(0)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(theirs.Net())
    trainer.save_checkpoint("best.ckpt")
    return tmp_path


ARGUMENTS = ["--module", "theirs.Net", "--ckpt", "best.ckpt", "--data", "theirs.Data"]
EMBED = ["embed", "shards", *ARGUMENTS, "--no-progress", "--accelerator", "cpu"]


def test_embedding_and_ordering_is_ordering_the_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*EMBED, "--batches-per-shard", "4"])
    assert capsys.readouterr().err == "203 samples in 7 shards: shards\n"
    main(["order", "shards", "--k", "50"])
    at_once = ["order", *ARGUMENTS, "--k", "50", "--no-progress", "--out", "at_once.parquet"]
    main(at_once)
    found, expected = read_ordering("ordering.parquet"), read_ordering("at_once.parquet")
    assert list(found) == list(expected)
    for name in ("head", "sample_id_source", "loss_evidence"):
        assert found.metadata[name] == expected.metadata[name]
    capsys.readouterr()
    next(Path("shards").glob("shard*")).unlink()
    main([*EMBED, "--batches-per-shard", "4"])
    assert capsys.readouterr().err == "203 samples in 7 shards, 6 of them from before: shards\n"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["--head", "neck"], "head"),
        (["--batches-per-shard", "5"], "another number of batches in a shard"),
        (["--dtype", "float16"], "another dtype"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    folder: Path, change: list[str], expected: str
) -> None:
    main([*EMBED, "--batches-per-shard", "4"])
    with pytest.raises(SystemExit) as exit:
        main([*EMBED, "--batches-per-shard", "4", *change])
    assert expected in str(exit.value)
    assert "\n" not in str(exit.value)


def test_options_that_are_missing(folder: Path) -> None:
    with pytest.raises(SystemExit, match="expected --module, --ckpt and --data"):
        main(["embed", "shards", "--module", "theirs.Net"])


def test_a_validation_within_a_training_embeds_nothing(tmp_path: Path) -> None:
    embed = EmbedPool(tmp_path / "shards", loader(40))
    fit(tmp_path, embed)
    assert embed.embedded is None
    assert not (tmp_path / "shards").exists()


@pytest.mark.long
@pytest.mark.parametrize("devices", [2, 3])
def test_several_processes_write_what_one_writes(folder: Path, devices: int) -> None:
    """Also where shards are missing, and where a process has none to write."""
    run([*EMBED, "--batches-per-shard", "4"], folder)
    expected = {path.name: path.read_bytes() for path in Path("shards").iterdir()}
    several = ["embed", "many", *EMBED[2:], "--batches-per-shard", "4", "--devices", str(devices)]
    run(several, folder)
    assert {path.name: path.read_bytes() for path in Path("many").iterdir()} == expected
    sorted(Path("many").glob("shard*"))[3].unlink()
    said = run(several, folder)
    assert "203 samples in 7 shards, 6 of them from before: many" in said
    assert {path.name: path.read_bytes() for path in Path("many").iterdir()} == expected


def run(arguments: list[str], folder: Path) -> str:
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", "lightning_badge", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr

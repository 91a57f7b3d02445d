"""A Hydra application that is not ours takes the callback from our configurations."""

from pathlib import Path

import forked
import pyarrow.parquet as pq
import pytest

APPLICATION = """
import hydra
import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x)

    def validation_step(self, batch, _):
        self.log("loss", torch.nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def predict_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(30, 4)), batch_size=10)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    callbacks = list(instantiate(config.callbacks).values())
    trainer = Trainer(
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=".",
    )
    validation = TensorDataset(torch.randn(10, 4), torch.zeros(10, dtype=torch.long))
    trainer.validate(Net(), DataLoader(validation, batch_size=5), verbose=False)


if __name__ == "__main__":
    main()
"""
CONFIGURATION = """
defaults:
  - callbacks: badge
  - _self_
hydra:
  searchpath: [pkg://lightning_badge.configs]
  output_subdir: null
  run: {dir: .}
"""


@pytest.mark.slow
def test_one_search_path_brings_the_callback(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text(CONFIGURATION)
    (tmp_path / "train.py").write_text(APPLICATION)
    code = f"{forked.ANEW}import runpy; runpy.run_path('train.py', run_name='__main__')"
    done = forked.run_program(tmp_path, code, "callbacks.badge.k=7")
    assert done.status == 0, done.err
    assert pq.read_table(tmp_path / "badge" / "ordering.parquet").num_rows == 7

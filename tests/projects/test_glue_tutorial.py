"""Lightning's GLUE tutorial, in the ``pytorch_lightning`` namespace that it was published in.

``GLUETransformer`` passes a whole batch to a Hugging Face model, which computes its own loss, and
``GLUEDataModule`` yields dicts of padded token ids. The model is a DistilBERT of random weights.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, model_gradients
from tiny import LIGHTNING_WARNINGS, QUIET
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering

pl = pytest.importorskip("pytorch_lightning")
transformers = pytest.importorskip("transformers")

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow]

N, LABELS, LENGTH, VOCABULARY = 40, 2, 12, 60


def tiny_config(num_labels: int) -> Any:
    return transformers.DistilBertConfig(
        vocab_size=VOCABULARY, max_position_embeddings=LENGTH, n_layers=2, n_heads=2, dim=16,
        hidden_dim=32, num_labels=num_labels,
    )  # fmt: skip


class GLUETransformer(pl.LightningModule):
    def __init__(
        self,
        num_labels: int = LABELS,
        task_name: str = "mrpc",
        learning_rate: float = 2e-3,
        adam_epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        train_batch_size: int = 32,
        eval_batch_size: int = 32,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.config = tiny_config(num_labels)
        self.model = transformers.AutoModelForSequenceClassification.from_config(self.config)
        self.validation_step_outputs: list[Any] = []

    def forward(self, **inputs: Any) -> Any:
        return self.model(**inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(**batch)[0]

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        val_loss, logits = self(**batch)[:2]
        preds = torch.argmax(logits, axis=1) if self.hparams.num_labels > 1 else logits.squeeze()
        outputs = {"loss": val_loss, "preds": preds, "labels": batch["labels"]}
        self.validation_step_outputs.append(outputs)
        return outputs

    def on_validation_epoch_end(self) -> None:
        preds = torch.cat([x["preds"] for x in self.validation_step_outputs])
        labels = torch.cat([x["labels"] for x in self.validation_step_outputs])
        self.log("val_loss", torch.stack([x["loss"] for x in self.validation_step_outputs]).mean())
        self.log("accuracy", (preds == labels).float().mean(), prog_bar=True)
        self.validation_step_outputs.clear()

    def configure_optimizers(self) -> Any:
        decays = [
            {
                "params": [p for n, p in self.model.named_parameters() if "bias" not in n],
                "weight_decay": self.hparams.weight_decay,
            },
            {
                "params": [p for n, p in self.model.named_parameters() if "bias" in n],
                "weight_decay": 0.0,
            },
        ]
        optimizer = torch.optim.AdamW(
            decays, lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon
        )
        scheduler = transformers.get_linear_schedule_with_warmup(
            optimizer,
            num_warmup_steps=self.hparams.warmup_steps,
            num_training_steps=self.trainer.estimated_stepping_batches,
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step", "frequency": 1}]


class Sentences(Dataset[dict[str, Tensor]]):
    """Pairs of sentences as the tutorial's data set yields them: padded, with a mask."""

    def __init__(self, n: int, seed: int, dtype: torch.dtype = torch.long) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tokens = torch.randint(2, VOCABULARY, (n, LENGTH), generator=generator)
        self.lengths = torch.randint(3, LENGTH + 1, (n,), generator=generator)
        labels = torch.randint(0, LABELS, (n,), generator=generator)
        self.labels = labels if dtype == torch.long else torch.rand(n, generator=generator) * 5

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        mask = (torch.arange(LENGTH) < self.lengths[position]).long()
        tokens = self.tokens[position] * mask
        return {"input_ids": tokens, "attention_mask": mask, "labels": self.labels[position]}


class GLUEDataModule(pl.LightningDataModule):
    def __init__(self, dtype: torch.dtype = torch.long) -> None:
        super().__init__()
        self.dtype = dtype

    def setup(self, stage: str) -> None:
        splits = {"train": N, "validation": 16, "pool": N}
        self.dataset = {
            name: Sentences(n, seed, self.dtype) for seed, (name, n) in enumerate(splits.items())
        }

    def train_dataloader(self) -> Any:
        return DataLoader(self.dataset["train"], batch_size=16, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.dataset["validation"], batch_size=16)

    def predict_dataloader(self) -> Any:
        return DataLoader(self.dataset["pool"], batch_size=16)


def train(root: Path, model: Any, datamodule: Any, **arguments: Any) -> BadgeCallback:
    badge = BadgeCallback(seed=3, **arguments)
    settings = {**QUIET, "max_epochs": 2, "default_root_dir": root}
    pl.Trainer(callbacks=[badge], **settings).fit(model, datamodule=datamodule)
    return badge


def test_the_last_weights_order_the_pool(tmp_path: Path) -> None:
    pl.seed_everything(42, verbose=False)
    model = GLUETransformer()
    badge = train(tmp_path, model, GLUEDataModule())
    read = read_ordering(tmp_path / "badge" / "ordering.parquet")
    assert read.metadata["head"] == "model.classifier"
    assert read.metadata["loss"] == "cross_entropy"
    pool = Sentences(N, 2)
    inputs = [{key: value[None] for key, value in pool[row].items()} for row in range(N)]
    gradients = model_gradients(
        model,
        "model.classifier",
        inputs,
        lambda exact, one: exact.model(one["input_ids"], one["attention_mask"]).logits,
    )
    assert_gains(read, list(range(N)), gradients)
    assert badge.n_orderings == 1


def test_the_task_that_is_a_regression_is_refused_before_training(tmp_path: Path) -> None:
    model = GLUETransformer(num_labels=1, task_name="stsb")
    with pytest.raises(ValueError, match="looks like regression"):
        train(tmp_path, model, GLUEDataModule(torch.float32))

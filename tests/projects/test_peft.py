"""Transformers that the package peft has adapted, as in its guide to sequence classification."""

from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, dense_gradients
from tiny import LIGHTNING_WARNINGS, make_trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from lightning.pytorch import LightningModule

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import HeadError
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.slow,
    # Raised by peft about its use of transformers.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

N, CLASSES = 60, 3


def adapted(*targets: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, num_labels=CLASSES,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    settings = {"r": 4, "lora_alpha": 32, "lora_dropout": 0.1, **arguments}
    lora = peft.LoraConfig(target_modules=list(targets), init_lora_weights=False, **settings)
    return peft.get_peft_model(model, lora)


class Texts(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(position)
        tokens = torch.randint(2, 30, (7,), generator=generator)
        return {"idx": 1000 + position, "input_ids": tokens, "labels": position % CLASSES}


class LitAdapted(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Any) -> Any:
        return self.model(**batch)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        return self(input_ids=batch["input_ids"], labels=batch["labels"]).loss

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def order_pool(root: Path, model: nn.Module, **arguments: Any) -> Ordering:
    data = DataLoader(Texts(), batch_size=16)
    callback = BadgeCallback(pool=data, dirpath=root, sample_id_key="idx", **arguments)
    trainer, module = make_trainer(root, callbacks=[callback]), LitAdapted(model)
    trainer.fit(module, data, data)
    trainer.validate(module, data, verbose=False)
    return read_ordering(root / "ordering.parquet")


def assert_ordered(ordering: Ordering, model: nn.Module) -> None:
    """Compares with the dense gradients of the merged model, in float64."""
    merged = model.double().eval().merge_and_unload()
    tokens = torch.stack([Texts()[position]["input_ids"] for position in range(N)])
    with torch.no_grad():
        pooled = merged.bert(input_ids=tokens).pooler_output
        logits = merged(input_ids=tokens).logits
    weight, bias = merged.classifier.weight, merged.classifier.bias
    torch.testing.assert_close(pooled @ weight.T + bias, logits)
    ids = [1000 + position for position in range(N)]
    assert_gains(ordering, ids, dense_gradients(pooled, weight, bias))
    predicted = logits.argmax(1)[ordering.sample_ids - 1000]
    assert ordering.hallucinated_label.tolist() == predicted.tolist()


@pytest.mark.parametrize("arguments", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_a_low_rank_adapter_on_the_head_is_the_head(
    tmp_path: Path, arguments: dict[str, Any]
) -> None:
    model = adapted("query", "value", "classifier", **arguments)
    ordering = order_pool(tmp_path, model)
    assert ordering.metadata["head"] == "model.base_model.model.classifier"
    assert_ordered(ordering, model)


def test_a_head_that_is_trained_as_a_whole_is_found(tmp_path: Path) -> None:
    model = adapted("query", "value", task_type="SEQ_CLS")
    ordering = order_pool(tmp_path, model)
    assert ordering.metadata["head"].startswith("model.base_model.model.classifier.modules_to_save")
    assert_ordered(ordering, model)


def test_the_layer_inside_of_the_adapter_is_refused(tmp_path: Path) -> None:
    head = "model.base_model.model.classifier"
    with pytest.raises(HeadError, match=f"part of the adapter '{head}'.*pass head='{head}'"):
        order_pool(tmp_path, adapted("query", "classifier"), head=f"{head}.base_layer")

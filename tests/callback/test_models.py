"""The callback on models that other people write."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from tiny import CLASSES, LIGHTNING_WARNINGS, WIDTH, Classifier, blobs, loader, make_trainer, mlp
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import HeadError
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS

N = 24


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        # Squeeze and excitation: a linear layer that is no head.
        self.excite = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        scale = self.excite(out.mean(dim=(2, 3))).sigmoid()
        return functional.relu_(out * scale[:, :, None, None] + x)


class ResNet(nn.Module):
    """Batch norm, dropout, work in place, and an auxiliary head beside the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(6), Block(6))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6, CLASSES)
        self.auxiliary = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stem = self.stem(x)
        out = self.dropout(self.blocks(stem).mean(dim=(2, 3)))
        return self.fc(out), self.auxiliary(stem.mean(dim=(2, 3)))


class LitResNet(Classifier):
    def __init__(self) -> None:
        super().__init__(ResNet())

    def loss(self, batch: Any) -> Tensor:
        logits, auxiliary = self(batch[0])
        return sum(functional.cross_entropy(part, batch[1]) for part in (logits, auxiliary))


def images(**arguments: Any) -> DataLoader[Any]:
    x = torch.randn(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, torch.arange(N) % CLASSES), batch_size=8, **arguments)


def order_pool(
    root: Path, model: LightningModule, data: DataLoader[Any], **arguments: Any
) -> BadgeCallback:
    trainer_arguments = {key: arguments.pop(key) for key in ("precision",) if key in arguments}
    callback = BadgeCallback(pool=data, **arguments)
    trainer = make_trainer(root, callbacks=[callback], **trainer_arguments)
    trainer.fit(model, data, data)
    ordering = read_ordering(callback.last_ordering_path)
    assert sorted(ordering) == list(range(len(data.dataset)))
    assert callback.n_orderings == 1
    return callback


def head_of(callback: BadgeCallback) -> str:
    return callback.ordering.metadata["head"]


def test_a_resnet_with_batch_norm_dropout_and_decoys(tmp_path: Path) -> None:
    model = LitResNet()
    callback = order_pool(tmp_path, model, images())
    assert head_of(callback) == "network.fc"
    with torch.no_grad():
        logits = model.eval()(images().dataset.tensors[0])[0]
    predicted = callback.ordering.hallucinated_label
    assert predicted.tolist() == logits.argmax(1)[callback.ordering.sample_ids].tolist()


def test_an_mlp_that_returns_log_probabilities(tmp_path: Path) -> None:
    class LogSoftmax(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return functional.log_softmax(self.network(x), dim=1)

        def loss(self, batch: Any) -> Tensor:
            return functional.nll_loss(self(batch[0]), batch[1])

    assert head_of(order_pool(tmp_path, LogSoftmax(), loader(N))) == "network.3"


class Texts(Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> dict[str, Any]:
        tokens = torch.randint(2, 30, (7,), generator=torch.Generator().manual_seed(position))
        return {"id": position, "input_ids": tokens, "labels": position % CLASSES}


class LitTransformer(Classifier):
    """A Hugging Face model in the way that most people wrap one."""

    def forward(self, **batch: Any) -> Any:
        return self.network(**batch)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        return self(**{key: value for key, value in batch.items() if key != "id"}).loss


def tiny_bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, num_labels=CLASSES,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def test_a_hugging_face_transformer(tmp_path: Path) -> None:
    data = DataLoader(Texts(), batch_size=8)
    callback = order_pool(tmp_path, LitTransformer(tiny_bert()), data, sample_id_key="id")
    assert head_of(callback) == "network.classifier"
    assert callback.ordering.metadata["width"] == 8


def test_a_transformer_whose_head_runs_on_tokens_needs_another_head(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=8, n_embd=8, n_layer=1, n_head=2, num_labels=CLASSES,
        pad_token_id=0,
    )  # fmt: skip
    model = LitTransformer(transformers.GPT2ForSequenceClassification(config))
    with pytest.raises(HeadError, match=r"'network.score'.*\[8, 7, 8\] -> \[8, 7, 3\]"):
        order_pool(tmp_path, model, DataLoader(Texts(), batch_size=8), sample_id_key="id")


@pytest.mark.slow
class TestCompiled:
    @pytest.mark.parametrize("head", [None, "network.3"])
    def test_a_compiled_network(self, tmp_path: Path, head: str | None) -> None:
        model = Classifier(torch.compile(mlp(), backend="aot_eager"))
        assert head_of(order_pool(tmp_path, model, loader(N), head=head)) == "network.3"

    @pytest.mark.parametrize("predicts", [False, True])
    def test_a_compiled_lightning_module(self, tmp_path: Path, predicts: bool) -> None:
        # Without self.log, on which torch.compile itself fails.
        class Quiet(Classifier):
            def training_step(self, batch: Any, batch_idx: int) -> Tensor:
                return self.loss(batch)

            def validation_step(self, batch: Any, batch_idx: int) -> None:
                self(batch[0])

        class Predicts(Quiet):
            def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
                return self(batch[0]).argmax(1)

        compiled = torch.compile(Predicts() if predicts else Quiet(), backend="eager")
        assert head_of(order_pool(tmp_path, compiled, loader(N))) == "network.3"


def test_mixed_precision(tmp_path: Path) -> None:
    callback = order_pool(tmp_path, Classifier(), loader(N), precision="bf16-mixed")
    assert head_of(callback) == "network.3"
    assert callback.ordering.metadata["dtype"] == "float32"


def test_a_binary_head_of_one_output(tmp_path: Path) -> None:
    class Binary(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return self.network(x).squeeze(1)

        def loss(self, batch: Any) -> Tensor:
            wanted = (batch[1] > 0).float()
            return functional.binary_cross_entropy_with_logits(self(batch[0]), wanted)

    callback = order_pool(tmp_path, Binary(mlp(1)), loader(N))
    assert callback.ordering.metadata["loss"] == "binary_cross_entropy"
    assert set(callback.ordering.hallucinated_label.tolist()) <= {0, 1}


def test_a_multi_label_head(tmp_path: Path) -> None:
    class MultiLabel(Classifier):
        def loss(self, batch: Any) -> Tensor:
            wanted = functional.one_hot(batch[1], CLASSES).float()
            return functional.binary_cross_entropy_with_logits(self(batch[0]), wanted)

    callback = order_pool(tmp_path, MultiLabel(), loader(N), loss="binary_cross_entropy")
    assert callback.ordering.metadata["loss"] == "binary_cross_entropy"
    assert callback.ordering.hallucinated_label is None


def test_a_head_wrapped_by_a_low_rank_adapter_is_named(tmp_path: Path) -> None:
    class LoRA(nn.Module):
        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base = base.requires_grad_(False)
            self.down = nn.Linear(base.in_features, 1, bias=False)
            self.up = nn.Linear(1, base.out_features, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    def adapted() -> Classifier:
        network = mlp()
        network[3] = LoRA(network[3])
        return Classifier(network)

    with pytest.raises(HeadError, match=r"'network.3.base' \[8, 8\] -> \[8, 3\].*none of them"):
        order_pool(tmp_path, adapted(), DataLoader(blobs(N), batch_size=8))
    callback = order_pool(tmp_path, adapted(), loader(N), head="network.3")
    assert head_of(callback) == "network.3"


def test_a_model_without_a_linear_layer_is_one_clear_error(tmp_path: Path) -> None:
    model = Classifier(
        nn.Sequential(nn.Unflatten(1, (1, WIDTH)), nn.Conv1d(1, CLASSES, WIDTH), nn.Flatten())
    )
    with pytest.raises(HeadError, match=r"none did; the model has no linear layer; name another"):
        order_pool(tmp_path, model, loader(N))

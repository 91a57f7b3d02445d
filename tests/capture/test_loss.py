"""Which loss ``loss="auto"`` takes, from which evidence."""

from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchmetrics import Accuracy, MeanSquaredError

from lightning_badge.capture import capture
from lightning_badge.capture.loss import choose_loss, peek_targets
from lightning_badge.exceptions import EmbeddingError

CE, BCE = "cross_entropy", "binary_cross_entropy"


class Model(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def configured(problem_type: str | None) -> nn.Module:
    return Model(config=SimpleNamespace(problem_type=problem_type))


MULTI_LABEL = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 0]])
ONE_HOT = torch.eye(3)


@pytest.mark.parametrize(
    ("model", "n_outputs", "targets", "name", "evidence"),
    [
        (Model(), 3, None, CE, "3 outputs; assumed: no loss, no targets seen"),
        (Model(), 1, None, BCE, "one output; assumed: no loss, no targets seen"),
        (Model(criterion=nn.BCEWithLogitsLoss()), 3, None, BCE, "BCEWithLogitsLoss 'criterion'"),
        (Model(inner=Model(c=nn.BCELoss())), 3, None, BCE, "BCELoss 'inner.c'"),
        (Model(criterion=nn.CrossEntropyLoss()), 3, MULTI_LABEL, CE, "CrossEntropyLoss"),
        (Model(criterion=nn.BCEWithLogitsLoss()), 1, None, BCE, "BCEWithLogitsLoss"),
        (
            Model(f=functional.binary_cross_entropy_with_logits), 3, None, BCE,
            "binary_cross_entropy_with_logits 'f'",
        ),
        (Model(f=partial(functional.cross_entropy, label_smoothing=0.1)), 3, None, CE, "'f'"),
        (Model(distilled=nn.MSELoss()), 3, torch.tensor([0, 2, 1]), CE, "whole numbers"),
        # An auxiliary term beside the classifier's loss.
        (Model(a=nn.CrossEntropyLoss(), b=nn.MSELoss()), 3, None, CE, "CrossEntropyLoss 'a'"),
        (Model(a=nn.BCEWithLogitsLoss(), b=nn.MSELoss()), 1, None, BCE, "BCEWithLogitsLoss"),
        # Two that contradict each other are no evidence; what follows is.
        (
            Model(a=nn.CrossEntropyLoss(), b=nn.BCEWithLogitsLoss()), 3, MULTI_LABEL, BCE,
            "several or none in a row",
        ),
        (configured("multi_label_classification"), 3, None, BCE, "multi_label_classification"),
        (configured("single_label_classification"), 3, None, CE, "single_label_classification"),
        (configured(None), 3, None, CE, "no loss"),
        (Model(acc=Accuracy("multilabel", num_labels=3)), 3, None, BCE, "MultilabelAccuracy"),
        (Model(acc=Accuracy("multiclass", num_classes=3)), 3, None, CE, "MulticlassAccuracy"),
        (Model(acc=Accuracy("binary")), 1, None, BCE, "BinaryAccuracy 'acc'"),
        (Model(acc=Accuracy("binary")), 2, None, CE, "no loss"),
        (Model(), 3, MULTI_LABEL, BCE, "several or none in a row"),
        (Model(), 3, MULTI_LABEL.float(), BCE, "several or none in a row"),
        (Model(), 3, ONE_HOT, CE, "sum to 1"),
        (Model(), 3, torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3]]), CE, "sum to 1"),
        (Model(), 3, torch.tensor([0, 2, 1]), CE, "whole numbers"),
        (Model(), 1, torch.tensor([0.0, 1.0, 1.0]), BCE, "of 0 and 1"),
        (Model(), 1, torch.tensor([[0], [1]]), BCE, "of 0 and 1"),
        # Placeholders of samples without a label.
        (Model(), 1, torch.full((5,), -1.0), BCE, "one output; assumed: no loss, no targets seen"),
        (Model(), 1, torch.full((5,), torch.nan), BCE, "one output; assumed: no loss"),
    ],
)  # fmt: skip
def test_the_strongest_evidence_decides(
    model: nn.Module, n_outputs: int, targets: Tensor | None, name: str, evidence: str
) -> None:
    chosen = choose_loss(model, n_outputs, targets)
    assert chosen.name == name
    assert evidence in chosen.evidence


@pytest.mark.parametrize(
    ("model", "n_outputs", "targets", "evidence"),
    [
        (Model(criterion=nn.MSELoss()), 1, None, "MSELoss 'criterion'"),
        (Model(criterion=nn.L1Loss()), 1, torch.tensor([0, 1]), "L1Loss"),
        (Model(f=functional.smooth_l1_loss), 1, None, "smooth_l1_loss"),
        (configured("regression"), 1, None, "problem_type 'regression'"),
        (Model(error=MeanSquaredError()), 1, None, "MeanSquaredError 'error'"),
        (Model(), 1, torch.tensor([0.5, 2.0, 1.0]), "float targets such as 0.5 and 1"),
        (Model(), 3, torch.randn(4, 3), r"float targets \[b, 3\]"),
        (Model(criterion=nn.MSELoss()), 3, None, "3 outputs, MSELoss"),
    ],
)
def test_a_regression_head_is_refused(
    model: nn.Module, n_outputs: int, targets: Tensor | None, evidence: str
) -> None:
    with pytest.raises(EmbeddingError, match=f"looks like regression.*{evidence}.*give loss="):
        choose_loss(model, n_outputs, targets)


def test_without_a_trainer_the_same_loss_is_taken() -> None:
    pool = DataLoader(TensorDataset(torch.randn(6, 4), torch.arange(6) % 3), batch_size=2)
    assert capture(Model(), pool).loss == CE
    assert capture(Model(criterion=nn.BCEWithLogitsLoss()), pool).loss == BCE
    numbers = TensorDataset(torch.randn(6, 4), torch.randn(6))
    with pytest.raises(EmbeddingError, match="looks like regression"):
        capture(nn.Sequential(nn.Linear(4, 1)), DataLoader(numbers))


def test_targets_are_read_from_pairs_and_dicts() -> None:
    targets = torch.arange(20)
    pairs = TensorDataset(torch.zeros(20, 2), targets)
    assert peek_targets(DataLoader(pairs, batch_size=2)).tolist() == list(range(16))
    dicts: Any = [{"x": 0.0, "label": n} for n in range(3)]
    assert peek_targets(DataLoader(dicts)).tolist() == [0, 1, 2]


class WithId(NamedTuple):
    x: Tensor
    id: Tensor
    y: Tensor


@pytest.mark.parametrize(
    ("key", "order", "expected"),
    [
        *((0, "ixy", [0, 1, 2]), (1, "xiy", [0, 1, 2]), (2, "xyi", [0, 1, 2])),
        *((-1, "xyi", [0, 1, 2]), (None, "xy", [0, 1, 2]), (1, "xi", None), (0, "ix", None)),
    ],
)
def test_the_entry_of_the_sample_ids_is_not_the_targets(
    key: int | None, order: str, expected: list[int] | None
) -> None:
    entries = {"i": torch.tensor([5, 6, 7]), "x": torch.zeros(3, 2), "y": torch.arange(3)}
    found = peek_targets(DataLoader(TensorDataset(*(entries[name] for name in order))), key)
    assert (None if found is None else found.tolist()) == expected


def test_a_field_of_sample_ids_is_not_the_targets() -> None:
    rows = [WithId(torch.zeros(2), torch.tensor(n + 5), torch.tensor(n)) for n in range(3)]
    assert peek_targets(DataLoader(rows), "id").tolist() == [0, 1, 2]  # type: ignore[arg-type]
    dicts: Any = [{"label": n, "y": 2 - n} for n in range(3)]
    assert peek_targets(DataLoader(dicts), "label").tolist() == [2, 1, 0]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        raise AssertionError("read")


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(torch.zeros(3, 2)),  # type: ignore[arg-type]
        DataLoader([{"x": 0.0}]),  # type: ignore[arg-type]
        DataLoader({"a": 1, "b": 2}),  # type: ignore[arg-type]
        DataLoader([(0.0, "cat")]),  # type: ignore[arg-type]
        DataLoader([]),
        DataLoader(Stream()),
        [1, 2],
    ],
)
def test_where_there_are_none_there_is_no_error(loader: Any) -> None:
    assert peek_targets(loader) is None

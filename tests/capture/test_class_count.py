"""A model that returns its embedding gives itself away by its metrics and labels."""

import warnings
from typing import Any

import pytest
import torch
from capturing import capture
from tiny import CLASSES, LIGHTNING_WARNINGS, Classifier, blobs, mlp
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MultilabelAccuracy

from lightning_badge.capture import capture as capture_without_trainer
from lightning_badge.capture.class_count import LabelRange

pytestmark = LIGHTNING_WARNINGS

EMBEDDING = 32


def pool(labels: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(blobs(len(labels)).tensors[0], labels), batch_size=64)


def measured(c: int, *metrics: Any) -> Classifier:
    model = Classifier(mlp(c))
    model.metrics = MetricCollection(list(metrics))
    return model


def assert_silent(model: Classifier, data: DataLoader[Any], **arguments: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture_without_trainer(model, data, **arguments)


@pytest.mark.parametrize("metric", [MulticlassAccuracy(10), MultilabelAccuracy(10)])
def test_metrics_of_another_number_of_classes_draw_a_warning(metric: Any) -> None:
    model = measured(EMBEDDING, metric)
    with pytest.warns(UserWarning, match="'network.3'.*gives 32 outputs.*=10.* counts others"):
        capture(model, pool(torch.zeros(20, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("c", "metrics"),
    [
        (CLASSES, [MulticlassAccuracy(CLASSES)]),
        (CLASSES, [MulticlassAccuracy(CLASSES), MultilabelAccuracy(7)]),
        (1, [BinaryAccuracy(), MulticlassAccuracy(2)]),
        (CLASSES, [BinaryAccuracy()]),
    ],
)
def test_metrics_that_fit_draw_none(c: int, metrics: list[Any]) -> None:
    assert_silent(measured(c, *metrics), pool(torch.arange(20) % max(2, c)))


def test_a_head_named_by_the_user_draws_none() -> None:
    data = pool(torch.arange(1000) % 10)
    assert_silent(measured(EMBEDDING, MulticlassAccuracy(10)), data, head="network.3")


@pytest.mark.parametrize(
    ("c", "labels", "largest"), [(EMBEDDING, torch.arange(1000) % 10, 9), (3, torch.arange(20), 19)]
)
def test_labels_of_another_range_draw_a_warning(c: int, labels: Tensor, largest: int) -> None:
    with pytest.warns(UserWarning, match=rf"gives {c} outputs.*labels go from 0 to {largest}"):
        capture(Classifier(mlp(c)), pool(labels))


@pytest.mark.parametrize(
    ("c", "labels"),
    [
        (10, torch.arange(1000) % 8),  # some classes have become rare
        (10, torch.zeros(1000, dtype=torch.int64)),  # placeholders
        (10, torch.full((1000,), -1)),
        (1, torch.arange(100) % 3),  # classes that the loss joins
        (10, torch.rand(20)),
        (EMBEDDING, torch.arange(20) % 10),  # too few to tell
    ],
)
def test_labels_that_may_fit_draw_none(c: int, labels: Tensor) -> None:
    assert_silent(Classifier(mlp(c)), pool(labels))


@pytest.mark.parametrize(
    ("batch", "key", "largest"),
    [
        ((torch.zeros(2), torch.tensor([3, 5])), None, 5),
        ((torch.zeros(2), torch.tensor([3, 5]), torch.zeros(2)), None, None),
        ((torch.zeros(2), torch.tensor([700, 5])), 1, None),
        ((torch.zeros(2), torch.tensor([700, 5]), torch.tensor([1, 2])), 1, 2),
        ({"x": torch.zeros(2), "labels": torch.tensor([0, 4])}, None, 4),
        ({"x": torch.zeros(2), "y": torch.tensor([0, 4])}, "y", None),
        (torch.zeros(2), None, None),
    ],
)
def test_labels_are_the_other_entry_of_a_pair_or_stand_under_a_usual_key(
    batch: Any, key: Any, largest: int | None
) -> None:
    labels = LabelRange(key)
    labels.see(batch)
    assert labels.largest == largest

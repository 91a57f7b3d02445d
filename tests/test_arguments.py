"""Public classes and functions check the types of their arguments at once, in one line."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from tiny import LIGHTNING_WARNINGS, loader
from torch import nn

from lightning_badge import (
    ActiveLearningDataModule,
    ActiveLearningLoop,
    BadgeCallback,
    BadgeError,
    DatasetLabelers,
    FileLabelers,
    FixedBudget,
    GradientEmbedding,
    LabelStore,
    LazyOrdering,
    RunDirectory,
    VariableBudget,
    arguments,
    order,
)
from lightning_badge.capture import capture, capture_to
from lightning_badge.labelers.label_studio.labelers import for_run as studio_labelers
from lightning_badge.labelers.page.labelers import for_run as page_labelers
from lightning_badge.labelers.service.chat import for_run as chat_labelers
from lightning_badge.labelers.service.service import for_run as service_labelers
from lightning_badge.loop.limits import Limits

pytestmark = LIGHTNING_WARNINGS
EMBEDDING = GradientEmbedding.from_logits(torch.ones(5, 2), torch.randn(5, 3))
PAIR = np.arange(2)
MODEL = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def data(**given: Any) -> ActiveLearningDataModule:
    return ActiveLearningDataModule(
        [(torch.tensor([float(n)]), n % 2) for n in range(10)], **{"initial_labeled": 2, **given}
    )


def loop(**given: Any) -> None:
    parts: dict[str, Any] = {
        "make_model": lambda: None,
        "make_trainer": lambda round, folder: None,
        "datamodule": data(),
        "budget": FixedBudget(2),
        "labelers": DatasetLabelers({}),
        "run_directory": None,
    }
    with LabelStore(":memory:") as store:
        ActiveLearningLoop(**{**parts, "store": store, **given})


def pictures() -> ActiveLearningDataModule:
    """Data that all labelers can show."""
    images = [(torch.rand(3, 4, 4), n % 2) for n in range(4)]
    return ActiveLearningDataModule(images, initial_labeled=2, class_names=["a", "b"])


URL = "http://127.0.0.1:1/label"
SERVICE: dict[str, list[Any]] = {
    "url": [5, None, "no address"],
    "key": [5, "not a name"],
    "urls": [5],
    "guidelines": [5, ""],
    "parallel": [0, "x", 1.5],
    "price": ["x", -1, True],
    "most_skips": [0, None],
    "timeout": [0, "x", None, math.inf],
    "patience": [0, True, math.nan],
}
CALLS: dict[str, Callable[..., Any]] = {
    "BadgeCallback": BadgeCallback,
    "ActiveLearningDataModule": data,
    "ActiveLearningLoop": loop,
    "order": lambda **given: order(**{"embedding": EMBEDDING, **given}),
    "LazyOrdering": lambda **given: LazyOrdering(**{"embedding": EMBEDDING, **given}).take(1),
    "capture": lambda **given: capture(**{"model": MODEL, "loader": loader(4), **given}),
    "capture_to": lambda **given: capture_to(
        **{"directory": "none", "model": MODEL, "loader": loader(4), **given}
    ),
    "DatasetLabelers": lambda **given: DatasetLabelers({}, **given),
    "FileLabelers": lambda **given: FileLabelers(data(), **{"run_path": Path("none"), **given}),
    "PageLabelers": lambda **given: page_labelers(
        pictures(), **{"run_path": Path("none"), **given}
    ),
    "LabelStudioLabelers": lambda **given: studio_labelers(
        pictures(), **{"run_path": Path("none"), **given}
    ),
    "service": lambda **given: service_labelers(pictures(), Path("none"), **{"url": URL, **given}),
    "chat": lambda **given: chat_labelers(
        pictures(), Path("none"), **{"url": URL, "model": "a", "key": None, **given}
    ),
    "FixedBudget": FixedBudget,
    "VariableBudget": lambda **given: VariableBudget(**{"low": 1, "high": 9, **given}),
}
WRONG: dict[str, dict[str, list[Any]]] = {
    "BadgeCallback": {
        "strategy": [5, None, ["badge"], np.arange(3)],
        "k": [0, 1.5, "x", True],
        "seed": [-1, "x", 0.5, None],
        "dirpath": [5, b"x", "a\0"],
        "filename": [5, None, ""],
        "head": [5, ""],
        "loss": [5, "x", None],
        "first_center": [5],
        "bias": [1, "no", None],
        "posterior_samples": [0, "x"],
        "when": ["x", 5, None],
        "every_n": [0, 0.5, None],
        "pool": [5],
        "sample_id_key": [0.5],
        "backend": [5, None, ["x"]],
        "round": ["x", -1],
        "log_pictures": [1],
        "strategy_args": [5],
        "keep_embedding": ["x"],
        "nearest_labeled": [-1, None],
        "write_embedding": [0],
    },
    "ActiveLearningDataModule": {
        "batch_size": [0, "x", None],
        "eval_batch_size": [0, 1.5],
        "num_workers": [-1, "x"],
        "pin_memory": [1, "x"],
        "seed": ["x", 0.5],
        "target_key": [0.5],
        "collate_fn": [5],
    },
    "ActiveLearningLoop": {
        "make_model": [None],
        "make_trainer": [5],
        "datamodule": [5],
        "budget": [5, FixedBudget],
        "labelers": [5],
        "store": ["x"],
        "run_directory": ["x"],
        "seed": ["x", -1],
        "metric": [5, ""],
        "overlap": [0, "x"],
        "progress": [1, "x"],
    },
    "order": {
        "embedding": [5, None, torch.ones(3, 2)],
        "strategy": [5, ["badge"], "x"],
        "k": [0, 1.5, "x", True],
        "seed": [-1, "x", None],
        "labeled": [5],
        "posterior": [5],
        "backend": [5, ["x"], None],
    },
    "LazyOrdering": {
        "embedding": [5],
        "seed": ["x"],
        "strategy": [None],
        "backend": [np.arange(2)],
    },
    "capture": {
        "model": [5, None],
        "loader": [5, None],
        "head": [5, ""],
        "loss": [5, "x", ["auto"]],
        "bias": [1, "x"],
        "sample_id_key": [0.5],
        "backend": [5],
    },
    "capture_to": {
        "directory": [5, None],
        "model": [5],
        "loader": [5],
        "head": [5],
        "loss": [5],
        "dtype": [5, "x"],
        "batches_per_shard": [0, "x", 1.5],
    },
    "DatasetLabelers": {
        "skip_fraction": ["x", 1.0, True],
        "noise": ["x", -1],
        "annotators": [0, "x", 1.5],
        "rate": ["x", 0],
        "seed": ["x", 0.5],
    },
    "FileLabelers": {"rows": [0, "x", 1.5], "export": [5, "x"], "run_path": [5], "fields": [5]},
    "PageLabelers": {
        "guess": [1, "no", None],
        "guidelines": [5, "", "a\0"],
        "run_path": [5],
        "beside": [5],
    },
    "LabelStudioLabelers": {
        "url": [5, None, "no address"],
        "project": [0.5, "ab", True],
        "rows": [0, "x", 1.5],
        "urls": [5],
        "guess": [1, None],
        "wait": [1, "x"],
        "poll": [0, "x", None, True, math.inf],
        "run_path": [5],
    },
    "service": {
        **SERVICE,
        "annotator": [5, "", "a#b"],
        "poll": [0, "x", None],
    },
    "chat": {
        **SERVICE,
        "annotator": [5],
        "model": [5, ["a"]],
        "prompt": [5, "no place for them"],
        "prices": [5, {"input": 1}, {"input": "x", "output": 1}],
        "options": [5, {"model": "b"}],
    },
    "FixedBudget": {"k": [0, "x", 1.5, None, True]},
    "VariableBudget": {"low": [0, "x"], "high": ["x"], "seed": ["x"]},
}
CASES = [
    pytest.param(call, name, value, id=f"{call}({name}={str(value)[:20]})")
    for call, of_call in WRONG.items()
    for name, values in of_call.items()
    for value in values
]


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_an_argument_of_another_type_is_one_line_that_names_it(call, name, value) -> None:
    with pytest.raises((BadgeError, MisconfigurationException)) as caught:
        CALLS[call](**{name: value})
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert name in said
    assert "expected" in said


def test_integers_of_numpy_are_integers(tmp_path: Path) -> None:
    two = np.int64(2)
    callback = BadgeCallback(
        k=two, seed=two, every_n=two, round=two, nearest_labeled=two, bias=np.bool_(True)
    )
    assert [type(value) for value in (callback.k, callback.seed, callback.round)] == [int] * 3
    assert callback.bias is True
    assert data(batch_size=two, seed=np.uint8(3)).batch_size == 2
    assert list(order(EMBEDDING, k=two, seed=two)) == list(order(EMBEDDING, k=2, seed=2))
    assert type(order(EMBEDDING, seed=two).metadata["seed"]) is int
    assert type(Limits(max_rounds=two).max_rounds) is int
    assert DatasetLabelers({}, annotators=two).names == ["dataset-0", "dataset-1"]
    assert FileLabelers(data(), tmp_path, rows=two).rows == 2
    assert FixedBudget(two) == FixedBudget(2)
    with LabelStore(":memory:") as store, RunDirectory(tmp_path / "run") as directory:
        loop(run_directory=directory, store=store, seed=two, max_rounds=two, overlap=np.int8(1))


@pytest.mark.parametrize("value", ["a.parquet", Path("a.parquet")])
def test_paths_may_be_text_or_paths(value: Any) -> None:
    assert arguments.path("filename", value, error=ValueError) is value


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(
        ValueError, match=r"\Ak: expected an integer, got '[^\n]{76}\.\.\. \(str\)\Z"
    ):
        arguments.integer("k", "x\n" * 1000, error=ValueError)

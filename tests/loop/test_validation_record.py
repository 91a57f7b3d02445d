import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from loop_run import Accurate
from tiny import LIGHTNING_WARNINGS, Classifier, loader, make_trainer

from lightning_badge.loop.validation_record import ValidationRecord

pytestmark = LIGHTNING_WARNINGS


class Doubled(Accurate):
    """Its last linear layer is not its head."""

    def __init__(self) -> None:
        super().__init__()
        self.other = torch.nn.Linear(3, 3)


def validated(path: Path, model: Classifier, **arguments: Any) -> tuple[ValidationRecord, Any]:
    record = ValidationRecord(1)
    trainer: Trainer = make_trainer(path, callbacks=[record], **arguments)
    (logged,) = trainer.validate(model, loader(40), verbose=False)
    return record, logged.get("val/accuracy")


def test_it_names_the_samples_that_are_right(tmp_path: Path) -> None:
    model = Accurate()
    record, accuracy = validated(tmp_path, model)
    x, y = loader(40).dataset.tensors  # type: ignore[attr-defined]
    right = (model.eval()(x).argmax(1) == y).numpy()
    assert 0 < right.sum() < 40
    assert record.samples == 40
    text = record.correct(accuracy)
    assert text is not None
    read = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    assert read[:40].astype(bool).tolist() == right.tolist()


def test_no_hook_is_left_and_metrics_are_the_same(tmp_path: Path) -> None:
    model = Accurate()
    _, with_record = validated(tmp_path, model)
    trainer = make_trainer(tmp_path)
    (without,) = trainer.validate(model, loader(40), verbose=False)
    assert with_record == without["val/accuracy"]
    assert not any(module._forward_hooks for module in model.modules())


def test_an_error_in_validation_leaves_no_hook(tmp_path: Path) -> None:
    class Failing(Accurate):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise RuntimeError("no")

    model = Failing()
    with pytest.raises(RuntimeError):
        validated(tmp_path, model)
    assert not any(module._forward_hooks for module in model.modules())


def test_predictions_that_are_not_what_the_metric_measures_are_not_kept(tmp_path: Path) -> None:
    record, accuracy = validated(tmp_path, Accurate())
    assert record.correct(accuracy) is not None
    assert record.correct(accuracy + 1 / 40) is None
    assert record.correct(accuracy + 0.001) is None
    assert record.correct(None) is None


def test_a_layer_that_is_not_the_head_gives_nothing(tmp_path: Path) -> None:
    record, accuracy = validated(tmp_path, Doubled())
    assert (record.samples, record.correct(accuracy)) == (40, None)


def test_a_part_of_the_validation_data_has_no_known_number_of_samples(tmp_path: Path) -> None:
    record, accuracy = validated(tmp_path, Accurate(), limit_val_batches=1)
    assert (record.samples, record.correct(accuracy)) == (None, None)

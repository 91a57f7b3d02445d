from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from tiny import LIGHTNING_WARNINGS, QUIET
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_badge.capture import capture
from lightning_badge.examples.default_model import default_model
from lightning_badge.examples.models import MLP, NGrams, SmallCNN

pytestmark = LIGHTNING_WARNINGS

INPUTS: dict[str, Tensor] = {
    "images": torch.rand(12, 3, 16, 16),
    "texts": torch.randint(1, 100, (12, 7), dtype=torch.int32),
    "tables": torch.rand(12, 7),
}


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("kind", "model"), [*zip(INPUTS, [SmallCNN, NGrams, MLP], strict=True)])
def test_default_models_train_and_show_their_head(
    kind: str, model: type, multilabel: bool, recwarn: pytest.WarningsRecorder
) -> None:
    built = default_model(kind, num_classes=4, in_features=7, multilabel=multilabel)
    assert isinstance(built, model)
    classes = torch.arange(12) % 4
    targets: Any = torch.eye(4)[classes] if multilabel else classes
    batches = DataLoader([*zip(INPUTS[kind], targets, strict=True)], batch_size=6)
    trainer = Trainer(**QUIET)
    trainer.fit(built, batches, batches)
    logged = {"train/loss", "val/loss", "val/accuracy"}
    logged |= set() if multilabel else {"val/calibration_error"}
    assert trainer.callback_metrics.keys() == logged
    embedding = capture(built, batches)
    assert embedding.penultimate.shape == (12, 128)
    assert embedding.loss == ("binary_cross_entropy" if multilabel else "cross_entropy")
    assert not [warning for warning in recwarn if "head" in str(warning.message)]


def test_unknown_kinds_are_an_error() -> None:
    with pytest.raises(MisconfigurationException, match="expected one of images, texts, tables"):
        default_model("sounds", num_classes=2, in_features=1)

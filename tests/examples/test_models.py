from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_badge.examples.digits import digits
from lightning_badge.examples.models import MLP, Classifier, NGrams, SmallCNN

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


@pytest.mark.parametrize("model_class", [SmallCNN, MLP])
def test_400_labels_give_more_than_90_per_cent_accuracy(
    model_class: type[Classifier], tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    seed_everything(0, verbose=False)
    datamodule = digits(initial_labeled=400)
    best = ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max")
    trainer = Trainer(
        accelerator="cpu",
        max_steps=200,
        check_val_every_n_epoch=None,
        val_check_interval=100,
        callbacks=best,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model_class(), datamodule=datamodule)
    logged = dict(trainer.callback_metrics)
    assert logged["val/accuracy"] > 0.9
    assert 0 <= logged["val/calibration_error"] < 0.2
    assert logged.keys() >= {"train/loss", "val/loss"}

    restored = model_class.load_from_checkpoint(best.best_model_path, weights_only=True)
    (tested,) = trainer.test(restored, dataloaders=datamodule.val_dataloader(), verbose=False)
    assert tested["test/accuracy"] == pytest.approx(float(best.best_model_score))

    restored.eval()
    hits = [restored(x).argmax(1) == y for x, y in datamodule.val_dataloader()]
    assert tested["test/accuracy"] == pytest.approx(float(torch.cat(hits).float().mean()))


@pytest.mark.parametrize("side", [8, 9, 28, 32])
def test_the_small_cnn_accepts_images_of_any_size(side: int) -> None:
    assert SmallCNN(num_classes=7, in_channels=3)(torch.rand(2, 3, side, side)).shape == (2, 7)


def test_the_mlp_accepts_the_configured_number_of_features() -> None:
    assert MLP(num_classes=7, in_features=3 * 4 * 5)(torch.rand(2, 3, 4, 5)).shape == (2, 7)


@pytest.mark.parametrize("model", [SmallCNN(hidden=50), MLP(hidden=50)])
def test_the_head_maps_the_penultimate_layer_to_the_logits(model: Classifier) -> None:
    seen: list[torch.Tensor] = []
    handle = model.head.register_forward_hook(
        lambda _, inputs, output: seen.extend([*inputs, output])
    )
    logits = model.eval()(torch.rand(3, 1, 8, 8))
    handle.remove()
    penultimate, output = seen
    assert penultimate.shape == (3, 50)
    assert output is logits


def test_the_ngrams_model_ignores_padding() -> None:
    model = NGrams(num_classes=5, buckets=50).eval()
    short = torch.tensor([[3, 7, 9]], dtype=torch.int32)
    padded = torch.tensor([[3, 7, 9, 0, 0]], dtype=torch.int32)
    assert model(padded).shape == (1, 5)
    assert torch.equal(model(short), model(padded))
    assert model(torch.zeros(1, 3, dtype=torch.int32)).isfinite().all()

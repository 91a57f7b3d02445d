from pathlib import Path

import pytest
import torch
from tiny import CLASSES, LIGHTNING_WARNINGS, Classifier, attached, blobs, loader, make_trainer
from torch import nn
from torch.utils.data import DataLoader, Subset

from lightning_badge.capture.posterior import capture_posterior, dropout_layers, same_masks
from lightning_badge.exceptions import CaptureError, HeadError

pytestmark = LIGHTNING_WARNINGS


def capture(root: Path, model: Classifier, pool: DataLoader, **arguments: object) -> torch.Tensor:
    trainer = attached(make_trainer(root), model)
    settings = {"samples": 4, "seed": 0, "head": "network.3", **arguments}
    return capture_posterior(trainer, model, pool, **settings)


def test_each_sample_is_a_different_network_and_rows_are_probabilities(tmp_path: Path) -> None:
    posterior = capture(tmp_path, Classifier(), loader(20))
    assert posterior.shape == (20, 4, CLASSES)
    torch.testing.assert_close(posterior.sum(dim=2), torch.ones(20, 4))
    assert len({tuple(column.flatten().tolist()) for column in posterior.unbind(1)}) == 4


def test_a_row_has_the_same_probabilities_whatever_batch_it_stands_in(tmp_path: Path) -> None:
    model = Classifier()
    whole = capture(tmp_path, model, loader(20))
    turned = Subset(blobs(20), list(range(19, -1, -1)))
    other = capture(tmp_path, model, DataLoader(turned, batch_size=3))
    torch.testing.assert_close(other.flip(0), whole)


def test_the_seed_decides_and_nothing_else_is_touched(tmp_path: Path) -> None:
    model = Classifier()
    model.train()
    before = torch.get_rng_state()
    first = capture(tmp_path, model, loader(20))
    assert torch.equal(before, torch.get_rng_state())
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks for part in model.modules())
    torch.manual_seed(99)
    assert torch.equal(capture(tmp_path, model, loader(20)), first)
    assert not torch.equal(capture(tmp_path, model, loader(20), seed=1), first)


def test_hooks_are_gone_after_an_exception(tmp_path: Path) -> None:
    model = Classifier()
    with pytest.raises(HeadError):
        capture(tmp_path, model, loader(20), head="network.9")
    assert not any(part._forward_hooks for part in model.modules())


def test_the_mean_over_many_masks_is_dropouts_own(tmp_path: Path) -> None:
    layer, row = nn.Dropout(0.3).eval(), torch.rand(1, 50)
    passes = []
    for sample in range(3000):
        with same_masks({"d": layer}, str(sample)):
            passes.append(layer(row))
    mean = torch.cat(passes).mean(dim=0)
    # A kept entry is x / 0.7, kept with probability 0.7: a variance of x^2 * 0.3 / 0.7.
    error = row[0] * (0.3 / 0.7 / 3000) ** 0.5
    assert ((mean - row[0]).abs() <= 5 * error).all()


@pytest.mark.parametrize(
    ("layer", "shape", "equal_along"),
    [
        (nn.Dropout(0.5), (6, 5, 40), 1),  # sequences
        (nn.Dropout1d(0.5), (6, 40, 7), 2),
        (nn.Dropout2d(0.5), (6, 40, 3, 4), 2),
        (nn.Dropout3d(0.5), (6, 40, 3, 2, 2), 2),
    ],
)
def test_what_is_dropped_together_in_training_is_dropped_together(layer, shape, equal_along):
    with same_masks({"d": layer.eval()}, "0"):
        dropped = layer(torch.ones(shape))
    first = dropped.narrow(equal_along, 0, 1)
    assert torch.equal(dropped, first.expand_as(dropped))
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    "network",
    [nn.Linear(4, 3), nn.Sequential(nn.Dropout(0.0), nn.Linear(4, 3)), nn.Dropout(1.0)],
)
def test_a_model_without_dropout_is_told_how_to_get_a_posterior(network: nn.Module) -> None:
    with pytest.raises(CaptureError, match="has no dropout layers.*choose a strategy without"):
        dropout_layers(network)


def test_a_single_logit_is_two_classes(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
    posterior = capture(tmp_path, Classifier(network), loader(10))
    assert posterior.shape == (10, 4, 2)
    torch.testing.assert_close(posterior.sum(dim=2), torch.ones(10, 4))

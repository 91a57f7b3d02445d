"""Where a callback averages weights, the ordering is of the averages with which the fit ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", minversion="2.6", reason="it brought WeightAveraging")

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)
from tiny import LIGHTNING_WARNINGS, WIDTH, Classifier, Counted, fit, loader, make_trainer
from torch import nn

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.callback.weight_averaging import averaging_callbacks
from lightning_badge.capture import capture
from lightning_badge.ordering import order

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch"),
]


class MyEMA(Callback):
    """Keeps an average of its own and puts it into the model at the end."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.kept = [weight.detach().clone() for weight in pl_module.parameters()]

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        for mean, weight in zip(self.kept, pl_module.parameters(), strict=True):
            mean.lerp_(weight.detach(), 0.2)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        for mean, weight in zip(self.kept, pl_module.parameters(), strict=True):
            weight.data.copy_(mean)


class NamedAsNothing(MyEMA):
    pass


def swa() -> Callback:
    return StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)


def normed() -> Classifier:
    network = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    return Classifier(network)


def assert_of_the_final_weights(callback: BadgeCallback, model: Classifier) -> None:
    expected = order(capture(model, loader(20)), seed=2)
    assert list(callback.ordering) == list(expected)
    np.testing.assert_array_equal(callback.ordering.gains, expected.gains)


@pytest.mark.parametrize("make_model", [Classifier, normed])
@pytest.mark.parametrize("averages", [swa, WeightAveraging, EMAWeightAveraging, MyEMA])
@pytest.mark.parametrize("comes_first", [True, False])
def test_one_ordering_of_the_averages(
    tmp_path: Path,
    averages: Callable[[], Callback],
    make_model: Callable[[], Classifier],
    comes_first: bool,
) -> None:
    callback, model = Counted(seed=2, k=None), make_model()
    callbacks = [averages(), callback] if comes_first else [callback, averages()]
    fit(tmp_path, *callbacks, model=model, max_epochs=3)
    assert callback.n_orderings == 1
    assert_of_the_final_weights(callback, model)


def test_one_that_no_name_tells_is_noticed_by_the_weights(tmp_path: Path) -> None:
    callback, model = Counted(seed=2, k=None), Classifier()
    fit(tmp_path, NamedAsNothing(), callback, model=model)
    assert callback.n_orderings == 2
    assert_of_the_final_weights(callback, model)


def test_the_place_of_all_others_stays(tmp_path: Path) -> None:
    first, average, last = Callback(), MyEMA(), Callback()
    callback = BadgeCallback(pool=loader(20))
    trainer = fit(tmp_path, first, callback, average, last)
    assert trainer.callbacks[:4] == [first, average, callback, last]


@pytest.mark.parametrize("averages", [swa, WeightAveraging, MyEMA])
def test_after_each_validation_it_says_that_the_trained_weights_are_ordered_by(
    tmp_path: Path, averages: Callable[[], Callback]
) -> None:
    average = averages()
    with pytest.warns(UserWarning, match=f"not by the averages of {type(average).__name__}"):
        fit(tmp_path, average, Counted(when="every_validation"))


def test_never_in_fit_says_nothing(tmp_path: Path) -> None:
    fit(tmp_path, WeightAveraging(), Counted(when="never"))


def test_names_are_read_by_their_words(tmp_path: Path) -> None:
    def named(name: str) -> Callback:
        return type(name, (Callback,), {})()

    names = ["EMACallback", "ExponentialMovingAverage", "ModelEma", "Lookahead", "SWAWeights"]
    others = ["Schema", "SemanticLogger", "Swap", "LeMans", "Timer"]
    trainer = make_trainer(tmp_path, callbacks=[named(name) for name in names + others])
    assert [type(found).__name__ for found in averaging_callbacks(trainer)] == names


def test_training_goes_on_as_without(tmp_path: Path) -> None:
    def trained(*callbacks: Callback) -> list[Any]:
        torch.manual_seed(0)
        model = normed()
        fit(tmp_path, *callbacks, swa(), model=model, max_epochs=3)
        return [value.tolist() for value in model.state_dict().values()]

    assert trained(BadgeCallback(pool=loader(20))) == trained()

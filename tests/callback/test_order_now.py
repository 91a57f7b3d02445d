"""``order_now``: at any moment, without validation data, by the weights that there are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, fit, loader, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.ordering import order
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS


def expected(model: Classifier) -> list[Any]:
    return list(order(capture(model, loader(20)), seed=5))


def make(**arguments: Any) -> BadgeCallback:
    return BadgeCallback(pool=loader(20), seed=5, when="never", **arguments)


def test_after_fit(tmp_path: Path) -> None:
    badge, model = make(), Classifier()
    trainer = fit(tmp_path, badge, model=model)
    ordering = badge.order_now(trainer, model)
    assert ordering is badge.ordering
    assert list(ordering) == expected(model)
    assert list(read_ordering(badge.last_ordering_path)) == expected(model)
    assert ordering.metadata["checkpoint"] is None
    assert ordering.metadata["global_step"] == 4


def test_with_a_trainer_that_never_ran_and_does_not_know_the_callback(tmp_path: Path) -> None:
    badge, model = make(), Classifier()
    model.train()
    assert list(badge.order_now(make_trainer(tmp_path), model)) == expected(model)
    assert model.training


def test_of_another_module_while_the_trainer_runs_its_own(tmp_path: Path) -> None:
    class Copies(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            orderings.append(list(badge.order_now(trainer, other)))
            assert trainer.lightning_module is pl_module
            assert trainer.model is pl_module

    orderings: list[Any] = []
    badge, other = make(), Classifier()
    fit(tmp_path, Copies(), badge)
    assert orderings == [expected(other)] * 4


def test_in_the_middle_of_training_which_goes_on_as_without(tmp_path: Path) -> None:
    class Asks(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            orderings.append((list(badge.order_now(trainer, pl_module)), expected(pl_module)))

    def trained(*callbacks: Callback) -> list[Any]:
        torch.manual_seed(0)
        model = Classifier()
        trainer = make_trainer(tmp_path, callbacks=list(callbacks))
        trainer.fit(model, loader(64, shuffle=True), loader(16))
        return [weight.tolist() for weight in model.parameters()]

    orderings: list[Any] = []
    badge = make()
    assert trained(Asks(), badge) == trained()
    assert len(orderings) == 4
    assert all(ordered == wanted for ordered, wanted in orderings)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
@pytest.mark.parametrize("when", ["last_validation", "every_validation", "never"])
def test_a_datamodule_without_validation_data(tmp_path: Path, when: Any) -> None:
    datamodule = ActiveLearningDataModule(blobs(40), initial_labeled=20)
    badge = BadgeCallback(when=when)
    trainer = make_trainer(tmp_path, callbacks=[badge])
    model = Classifier()
    trainer.fit(model, datamodule=datamodule)
    assert badge.n_orderings == (when != "never")
    assert sorted(badge.order_now(trainer, model)) == datamodule.pool_ids.tolist()


def test_an_empty_pool_gives_none(tmp_path: Path) -> None:
    badge = BadgeCallback(pool=loader(20).__class__([]))
    with pytest.warns(UserWarning, match="pool is empty"):
        assert badge.order_now(make_trainer(tmp_path), Classifier()) is None


def test_no_pool_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="found no pool"):
        BadgeCallback().order_now(make_trainer(tmp_path), Classifier())

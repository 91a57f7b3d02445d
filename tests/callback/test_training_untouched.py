"""Training goes on to the last bit as it would without the callback."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from tiny import LIGHTNING_WARNINGS, WIDTH, Classifier, blobs, loader, make_trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import CaptureError

pytestmark = LIGHTNING_WARNINGS


class Recorder(Logger):
    name = "recorder"
    version = 0

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        own = {key: value for key, value in metrics.items() if not key.startswith("badge/")}
        if own:
            self.told.append((step, own))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Noisy(Classifier):
    """Draws from every global random state, and keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(
                nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
            )
        )
        self.seen: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(()) + np.random.rand() + random.random()
        return self.network(x + 0.01 * noise)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.seen.append((batch[1].tolist(), loss.item()))
        return loss


class RandomPool(Dataset[Any]):
    """Draws at every read, as augmentation does."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, position: int) -> Tensor:
        np.random.rand(), random.random()
        return torch.rand(WIDTH)


def train(
    root: Path,
    *callbacks: Any,
    make_model: Callable[[], Noisy] = Noisy,
    make_recorder: Callable[[], Recorder] = Recorder,
    **arguments: Any,
) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    model, recorder = make_model(), make_recorder()
    trainer = make_trainer(
        root, callbacks=list(callbacks), logger=recorder, max_epochs=3, log_every_n_steps=1,
        **arguments,
    )  # fmt: skip
    trainer.fit(model, loader(64, shuffle=True), loader(16))
    return {
        "weights": {name: value.tolist() for name, value in model.state_dict().items()},
        "batches and losses": model.seen,
        "logged": recorder.told,
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "random states": (torch.rand(1).item(), np.random.rand(), random.random()),
        "modes": [part.training for part in model.modules()],
    }


class TakesImages(Recorder):
    """Draws from torch's random state for each image."""

    taken: ClassVar[list[str]] = []

    def log_image(self, key: str, *_: Any, **__: Any) -> None:
        torch.rand(3)
        self.taken.append(key)


class RandomImages(RandomPool):
    def __getitem__(self, position: int) -> Tensor:
        return super().__getitem__(position).reshape(1, 2, 2)


class FlattensImages(Noisy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* items of the pool differ")
def test_pictures_for_loggers_are_no_exception(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    TakesImages.taken.clear()
    make: dict[str, Any] = {"make_model": FlattensImages, "make_recorder": TakesImages}
    without = train(tmp_path / "without", **make)
    pool = DataLoader(RandomImages(), batch_size=8)
    with_it = train(tmp_path / "with", BadgeCallback(pool=pool, when="every_validation"), **make)
    assert TakesImages.taken == ["badge/first_picks", "badge/coverage"] * 3
    for what, expected in without.items():
        assert with_it[what] == expected, what


@pytest.mark.filterwarnings("ignore:.* items of the pool differ")
@pytest.mark.parametrize("strategy", ["badge", "entropy", "margin", "least_confidence", "random"])
def test_everything_is_bit_identical_with_and_without_the_callback(
    tmp_path: Path, strategy: str
) -> None:
    without = train(tmp_path / "without")
    pool = DataLoader(RandomPool(), batch_size=8)
    callback = BadgeCallback(strategy, pool=pool, when="every_validation")
    with_it = train(tmp_path / "with", callback)
    assert callback.n_orderings == 3
    for what, expected in without.items():
        assert with_it[what] == expected, what


def test_a_pool_that_shares_the_generator_of_the_training_loader_is_no_exception(
    tmp_path: Path,
) -> None:
    def train_with(*callbacks: Any) -> list[Any]:
        generator = torch.Generator().manual_seed(4)
        for callback in callbacks:
            callback.pool = loader(30, generator=generator)
        seed_everything(1, verbose=False)
        model = Noisy()
        trainer = make_trainer(tmp_path, callbacks=list(callbacks), max_epochs=3)
        trainer.fit(model, loader(64, shuffle=True, generator=generator), loader(16))
        return model.seen

    assert train_with(BadgeCallback(when="every_validation")) == train_with()


def test_drawing_in_the_method_that_makes_the_pool_is_no_exception(tmp_path: Path) -> None:
    class Splits(Noisy):
        def predict_dataloader(self) -> Any:
            pool, _ = torch.utils.data.random_split(blobs(40), [30, 10])
            return DataLoader(pool, batch_size=8)

    def train_with(*callbacks: Any) -> list[Any]:
        seed_everything(1, verbose=False)
        model = Splits()
        trainer = make_trainer(tmp_path, callbacks=list(callbacks), max_epochs=3)
        trainer.fit(model, loader(64, shuffle=True), loader(16))
        return model.seen

    assert train_with(BadgeCallback(when="every_validation")) == train_with()


def test_a_review_of_the_labeled_set_is_no_exception(tmp_path: Path) -> None:
    def train_with(*callbacks: Any) -> list[Any]:
        seed_everything(1, verbose=False)
        model = Noisy()
        data = ActiveLearningDataModule(blobs(64), blobs(16), initial_labeled=40)
        trainer = make_trainer(tmp_path, callbacks=list(callbacks), max_epochs=3)
        trainer.fit(model, datamodule=data)
        return [model.seen, str(model.state_dict()), random.random(), torch.rand(1).item()]

    review = BadgeCallback(when="every_validation", nearest_labeled=3, dirpath=tmp_path)
    assert train_with(review) == train_with()
    assert (tmp_path / "review.parquet").exists()


def test_the_saved_weights_and_optimizer_are_the_same(tmp_path: Path) -> None:
    def saved(name: str, *callbacks: Any) -> dict[str, Any]:
        keep = ModelCheckpoint(tmp_path / name, filename="last")
        train(tmp_path / name, *callbacks, keep, enable_checkpointing=True)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    without, with_it = (
        saved("without"),
        saved("with", BadgeCallback(pool=loader(30), when="every_validation")),
    )
    for key in ("state_dict", "optimizer_states", "loops", "global_step"):
        assert str(with_it[key]) == str(without[key]), key


def test_a_pass_that_fails_leaves_the_model_and_the_random_states_alone(tmp_path: Path) -> None:
    class Breaks(Noisy):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            if len(x) == 7:  # the last batch of the pool
                raise ZeroDivisionError
            return out

    class Watches(BadgeCallback):
        def _order_pool(self, trainer: Any, pl_module: Any) -> None:
            before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
            modes = [part.training for part in pl_module.modules()]
            with pytest.raises(CaptureError, match="ZeroDivisionError"):
                super()._order_pool(trainer, pl_module)
            assert torch.equal(torch.get_rng_state(), before[0])
            assert np.array_equal(np.random.get_state()[1], before[1])
            assert random.getstate() == before[2]
            assert [part.training for part in pl_module.modules()] == modes
            assert all(not part._forward_hooks for part in pl_module.modules())
            assert all(not part._forward_pre_hooks for part in pl_module.modules())
            failed.append(trainer.current_epoch)

    failed: list[int] = []
    trainer = make_trainer(
        tmp_path, callbacks=[Watches(pool=loader(23), when="every_validation")], max_epochs=2
    )
    trainer.fit(Breaks(), loader(64, shuffle=True), loader(16))
    assert failed == [0, 1]

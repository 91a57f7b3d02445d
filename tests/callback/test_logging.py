"""Pictures in loggers: TensorBoard's file is read back, W&B runs offline."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from tiny import CLASSES, LIGHTNING_WARNINGS, Classifier, fit, loader, validate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_badge.callback import logging as module
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.viz.coverage import draw_coverage
from lightning_badge.viz.rendered import rendered
from lightning_badge.viz.sample_grid import draw_sample_grid

pytest.importorskip("matplotlib")
pytestmark = LIGHTNING_WARNINGS

N = 30


class Images(Dataset[tuple[Tensor, int]]):
    """Images of 2 x 2 pixels, and how often they were read."""

    def __init__(self) -> None:
        self.images = torch.rand(N, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        self.reads = 0

    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        self.reads += 1
        return self.images[position], position % CLASSES


class TakesImages(Logger):
    """Keeps the images that it is given, as W&B's logger takes them."""

    name, version = "takes_images", 0

    def __init__(self) -> None:
        super().__init__()
        self.images: list[tuple[str, int | None]] = []

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        assert [image.dtype for image in images] == [np.uint8]
        self.images.append((key, step))

    def log_metrics(self, *_: Any, **__: Any) -> None: ...

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...


def classifier() -> Classifier:
    """Takes images of 2 x 2 pixels and the vectors of the other loaders."""
    return Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    )


def ordered(
    root: Path, logger: Any, data: Dataset[Any] | None = None, **arguments: Any
) -> BadgeCallback:
    pool = DataLoader(Images() if data is None else data, batch_size=8)
    callback = BadgeCallback(pool=pool, **arguments)
    validate(root, callback, classifier(), logger=logger)
    return callback


def expected(callback: BadgeCallback) -> dict[str, Any]:
    """Returns the two pictures of an ordering of `Images`."""
    ordering = callback.ordering
    picks = ordering.take(25)
    captions = [
        f"{label} ({share:.0%})"
        for label, share in zip(picks.hallucinated_label, picks.confidence, strict=True)
    ]
    title = "hallucinated labels (confidence), best first"
    grid = draw_sample_grid(Images().images[picks.sample_ids], captions, title=title)
    curve = draw_coverage({"badge": ordering})
    return {"badge/first_picks": rendered(grid), "badge/coverage": rendered(curve)}


@pytest.mark.slow
def test_tensorboards_file_holds_the_grid_the_curve_and_the_numbers(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pil = pytest.importorskip("PIL.Image")
    callback = ordered(tmp_path, TensorBoardLogger(tmp_path, name="", version="logs"))
    events = accumulators.EventAccumulator(str(tmp_path / "logs")).Reload()
    pictures = expected(callback)
    assert set(events.Tags()["images"]) == set(pictures)
    for tag, picture in pictures.items():
        (event,) = events.Images(tag)
        assert event.step == 0
        decoded = np.asarray(pil.open(io.BytesIO(event.encoded_image_string)))
        np.testing.assert_array_equal(decoded, picture)
    assert {"badge/pool_size", "badge/gain_10th"} <= set(events.Tags()["scalars"])
    (size,) = events.Scalars("badge/pool_size")
    assert size.value == N


def test_weights_and_biases_takes_both_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    pil = pytest.importorskip("PIL.Image")
    for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = WandbLogger(save_dir=tmp_path, offline=True, reinit="create_new")
    try:
        callback = ordered(tmp_path, logger)
        logger.experiment.finish()
    finally:
        wandb.teardown()
    for tag, picture in expected(callback).items():
        (file,) = tmp_path.glob(f"wandb/offline-run-*/files/media/images/{tag}_*.png")
        np.testing.assert_array_equal(np.asarray(pil.open(file).convert("RGB")), picture)


def test_any_logger_that_takes_images_is_given_them_at_each_ordering(tmp_path: Path) -> None:
    logger = TakesImages()
    pool = DataLoader(Images(), batch_size=8)
    callback = BadgeCallback(pool=pool, when="every_validation")
    fit(tmp_path, callback, model=classifier(), logger=logger, max_epochs=2)
    steps = [(key, step) for step in (4, 8) for key in ("badge/first_picks", "badge/coverage")]
    assert logger.images == steps


@pytest.mark.parametrize(
    ("strategy", "pool", "shown"),
    [
        ("badge", loader(20), ["badge/coverage"]),
        ("entropy", DataLoader(Images()), ["badge/first_picks"]),
        ("entropy", loader(20), []),
    ],
)
def test_there_are_pictures_of_what_there_is_alone(
    tmp_path: Path, strategy: str, pool: Any, shown: list[str]
) -> None:
    logger = TakesImages()
    validate(tmp_path, BadgeCallback(strategy, pool=pool), classifier(), logger=logger)
    assert [key for key, _ in logger.images] == shown


class TestNothingIsReadOrDrawn:
    def reads(self, root: Path, logger: Any, **arguments: Any) -> int:
        data = Images()
        ordered(root, logger, data, **arguments)
        return data.reads

    def test_where_no_logger_takes_images(self, tmp_path: Path) -> None:
        without = self.reads(tmp_path, logger=False)
        assert self.reads(tmp_path, CSVLogger(tmp_path)) == without
        assert self.reads(tmp_path, TakesImages()) == without + 25

    def test_where_it_is_switched_off(self, tmp_path: Path) -> None:
        logger = TakesImages()
        without = self.reads(tmp_path, logger=False)
        assert self.reads(tmp_path, logger, log_pictures=False) == without
        assert logger.images == []

    def test_in_a_fast_dev_run(self, tmp_path: Path) -> None:
        data = Images()
        callback = BadgeCallback(pool=DataLoader(data, batch_size=8))
        validate(tmp_path, callback, classifier(), logger=TakesImages(), fast_dev_run=True)
        other = Images()
        callback = BadgeCallback(pool=DataLoader(other, batch_size=8), log_pictures=False)
        validate(tmp_path, callback, classifier(), fast_dev_run=True)
        assert data.reads == other.reads

    def test_without_matplotlib_which_is_said_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        module._tell_that_nothing_is_drawn.cache_clear()
        logger = TakesImages()
        with pytest.warns(UserWarning, match="no pictures, for matplotlib is not installed; pip"):
            ordered(tmp_path, logger)
        assert ordered(tmp_path, logger).ordering is not None
        assert logger.images == []


def test_a_logger_that_fails_stops_nothing(tmp_path: Path) -> None:
    class Full(TakesImages):
        def log_image(self, *_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

    with pytest.warns(UserWarning, match="the loggers got no pictures .OSError.* the run goes on"):
        assert ordered(tmp_path, Full()).last_ordering_path.is_file()

"""Logs an ordering: numbers to all loggers, pictures to those that accept images."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_badge.callback.pictures import draw_ordering
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.reader import loader_generators
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.namespaces import lightning_classes
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleIds
from lightning_badge.viz.rendered import rendered

Take = Callable[[str, npt.NDArray[np.uint8], int], Any]


def log_numbers(
    trainer: Trainer,
    embedding: GradientEmbedding,
    ordering: Ordering,
    seconds: Mapping[str, float],
) -> None:
    """Logs the pool's size, its confidence, a few gains and the times to every logger.

    Args:
        trainer: The Trainer with the loggers and the current step.
        embedding: Embedding of the pool.
        ordering: Ordering of the pool.
        seconds: Seconds of capture and ordering, by name.
    """
    metrics = _summary(embedding, ordering)
    metrics |= {f"badge/{part}_seconds": took for part, took in seconds.items()}
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.global_step)


def log_pictures(trainer: Trainer, ordering: Ordering, loader: Any, pool_ids: SampleIds) -> None:
    """Logs the first picks and the coverage curve to every logger that accepts images.

    These are TensorBoard, MLflow, and loggers whose class has ``log_image`` with the signature of
    W&B's. Without such a logger nothing is read or drawn. If matplotlib is missing, one message
    says so. Pictures that cannot be drawn or logged are a warning.

    Args:
        trainer: The Trainer with the loggers and the current step.
        ordering: Ordering of the pool.
        loader: Loader of the pool.
        pool_ids: Sample ids of the pool in the loader's order.
    """
    takes = [take for logger in trainer.loggers if (take := _taker(logger))]
    if not takes:
        return
    if find_spec("matplotlib") is None:
        _tell_that_nothing_is_drawn()
        return
    class_names = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    try:
        with untouched_random_state(*loader_generators(loader)):
            for name, figure in draw_ordering(ordering, loader, pool_ids, class_names):
                picture = rendered(figure)
                for take in takes:
                    take(f"badge/{name}", picture, trainer.global_step)
    except Exception as error:  # of matplotlib, of a logger, of its disk or server
        rank_zero_warn(
            f"BadgeCallback: the loggers got no pictures ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); the run goes on, and the ordering is written"
        )


def _taker(logger: Any) -> Take | None:
    """Returns the function that logs an image; None if the logger accepts none."""
    if isinstance(logger, lightning_classes("loggers.TensorBoardLogger")):
        return lambda name, picture, step: logger.experiment.add_image(
            name, picture, step, dataformats="HWC"
        )
    if isinstance(logger, lightning_classes("loggers.MLFlowLogger")):
        return lambda name, picture, step: logger.experiment.log_image(
            logger.run_id, picture, artifact_file=f"{name}-{step:06d}.png"
        )
    # Checked on the class: the dummy logger of fast_dev_run has every attribute.
    if callable(getattr(type(logger), "log_image", None)):
        log_image: Any = getattr(logger, "log_image")  # noqa: B009
        return lambda name, picture, step: log_image(name, [picture], step=step)
    return None


@cache
def _tell_that_nothing_is_drawn() -> None:
    rank_zero_warn(
        "BadgeCallback shows the loggers no pictures, for matplotlib is not installed; "
        "pip install matplotlib, or pass log_pictures=False"
    )


def _mean(embedding: GradientEmbedding, column: Tensor) -> float:
    if embedding.shard is None:
        return float(column.mean())
    total = embedding.shard.peers.sum(column.sum(dtype=torch.float64))
    return float(total) / embedding.n_pool


def _summary(embedding: GradientEmbedding, ordering: Ordering) -> dict[str, float]:
    summary: dict[str, float] = {"badge/pool_size": embedding.n_pool}
    if embedding.confidence is not None:
        summary["badge/mean_confidence"] = _mean(embedding, embedding.confidence)
    gains = [] if ordering.gains is None else ordering.gains.tolist()
    for name, rank in {"1st": 0, "10th": 9, "100th": 99}.items():
        if rank < len(gains) and not math.isnan(gains[rank]):
            summary[f"badge/gain_{name}"] = gains[rank]
    return summary

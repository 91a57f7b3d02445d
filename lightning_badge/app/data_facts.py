"""Fills into the configuration the properties of the data that a model needs."""

import math
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule


def fill_in(
    config: DictConfig, datamodule: ActiveLearningDataModule, *, width: int | None = None
) -> None:
    """Sets ``classes``, their names, ``in_channels``, ``in_features`` and ``kind`` from the data.

    Args:
        config: The configuration.
        datamodule: The data.
        width: Width of the features that the model gets in place of the samples, if any.

    Raises:
        MisconfigurationException: The model needs a value that these data do not have.
    """
    shape = _input_shape(datamodule) if width is None else (width,)
    config.classes = datamodule.class_names and len(datamodule.class_names)
    config.class_names = datamodule.class_names and list(map(str, datamodule.class_names))
    config.in_channels = shape[0] if len(shape) == 3 else None
    config.in_features = math.prod(shape) if shape else None
    config.kind = getattr(getattr(datamodule, "samples", None), "kind", None)
    for key in config.model:
        if OmegaConf.is_interpolation(config.model, key) and config.model[key] is None:
            raise MisconfigurationException(
                f"model.{key}: expected a value from the data, got none; choose a model that fits "
                f"these data (model=mlp for tables, model=transformer for texts), or set "
                f"model.{key}=..."
            )


def _input_shape(datamodule: ActiveLearningDataModule) -> tuple[int, ...]:
    """Returns the shape of a sample's input; an empty tuple if it is not a tensor."""
    loaders = datamodule.pool_dataloader(), datamodule.labeled_dataloader()
    datasets: list[Any] = [loader.dataset for loader in loaders]
    _, sample = next(dataset[0] for dataset in datasets if len(dataset))
    is_pair = isinstance(sample, tuple | list)
    return tuple(getattr(sample[0], "shape", ())) if is_pair else ()

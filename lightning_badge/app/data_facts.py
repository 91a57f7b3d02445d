"""What a model has to know of the data: filled into the configuration once they are loaded."""

import math
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule


def fill_in(config: DictConfig, datamodule: ActiveLearningDataModule) -> None:
    """Sets what the configuration leaves to the data: classes, channels and numbers in a sample.

    Raises:
        MisconfigurationException: The model asks for something that these data do not tell.
    """
    shape = _input_shape(datamodule)
    config.classes = datamodule.class_names and len(datamodule.class_names)
    config.in_channels = shape[0] if len(shape) == 3 else None
    config.in_features = math.prod(shape) if shape else None
    for key in config.model:
        if OmegaConf.is_interpolation(config.model, key) and config.model[key] is None:
            raise MisconfigurationException(
                f"model.{key}: these data do not tell it; choose a model that fits them (model=mlp "
                f"for tables, model=transformer for texts), or give model.{key}=..."
            )


def _input_shape(datamodule: ActiveLearningDataModule) -> tuple[int, ...]:
    """Returns the shape of a sample's input; an empty one where it is no tensor."""
    loaders = datamodule.pool_dataloader(), datamodule.labeled_dataloader()
    datasets: list[Any] = [loader.dataset for loader in loaders]
    _, sample = next(dataset[0] for dataset in datasets if len(dataset))
    is_pair = isinstance(sample, tuple | list)
    return tuple(getattr(sample[0], "shape", ())) if is_pair else ()

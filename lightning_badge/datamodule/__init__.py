"""The labeled set and the pool of any map-style data set."""

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule

__all__ = ["ActiveLearningDataModule"]

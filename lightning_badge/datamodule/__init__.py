"""The labeled set that grows and the pool that shrinks, over any map-style data sets."""

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule

__all__ = ["ActiveLearningDataModule"]

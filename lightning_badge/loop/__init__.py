"""The active learning loop: train, order, label, and again."""

from lightning_badge.loop.active_learning import ActiveLearningLoop

__all__ = ["ActiveLearningLoop"]

"""The active learning loop: train, order the pool, ask for labels, repeat."""

from lightning_badge.loop.active_learning import ActiveLearningLoop

__all__ = ["ActiveLearningLoop"]

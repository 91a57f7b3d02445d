"""Runs a model once over its pool, finds the classifier head, and records its inputs and outputs.

Without a Trainer, call ``capture``: ``from lightning_badge.capture import capture``. The function
has the name of this package, so ``lightning_badge`` itself does not export it.
"""

from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.head import Head, find_head
from lightning_badge.capture.pool import PenultimateCapture, capture_pool
from lightning_badge.capture.to_directory import capture_to
from lightning_badge.capture.without_trainer import capture

__all__ = [
    "CapturedPool",
    "Head",
    "PenultimateCapture",
    "capture",
    "capture_pool",
    "capture_to",
    "find_head",
]

"""One pass of a model over its pool: which layer is the head, what enters it, what leaves it."""

from lightning_badge.capture.head import Head, find_head
from lightning_badge.capture.pool import CapturedPool, PenultimateCapture, capture_pool

__all__ = ["CapturedPool", "Head", "PenultimateCapture", "capture_pool", "find_head"]

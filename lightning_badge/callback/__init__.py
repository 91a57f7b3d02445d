"""The callback: decide, capture, order, write."""

from lightning_badge.callback.badge import BadgeCallback

__all__ = ["BadgeCallback"]

"""The Lightning callback: decides when to order, captures the pool, orders it, writes the file."""

from lightning_badge.callback.badge import BadgeCallback

__all__ = ["BadgeCallback"]

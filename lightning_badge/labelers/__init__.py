"""Labelers: ways of getting labels, one module each.

To add one, add a module here with a class that has the methods of `Labelers` and a function
``for_run``, and a config in ``configs/labelers`` whose ``_target_`` names that function.
"""

from lightning_badge.labelers.base import Labelers
from lightning_badge.labelers.dataset import DatasetLabelers
from lightning_badge.labelers.files import FileLabelers

__all__ = ["DatasetLabelers", "FileLabelers", "Labelers"]

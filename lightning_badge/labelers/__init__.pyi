"""The names of this package: `__init__.py` imports each on first use."""

from .base import Labelers as Labelers
from .dataset import DatasetLabelers as DatasetLabelers
from .files import FileLabelers as FileLabelers

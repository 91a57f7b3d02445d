"""Orderings of a pool: ``order``, ``LazyOrdering``, the strategies, and ``kmeans_pp``.

The names are listed in `__init__.pyi`. Each is imported on first use, so that a process that only
reads orderings does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

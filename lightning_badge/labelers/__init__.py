"""Labelers: ways of getting labels, one module each.

To add one, add a module here with a class that has the methods of `Labelers` and a function
``for_run``, and a config in ``configs/labelers`` whose ``_target_`` names that function.

The names are listed in `__init__.pyi`. Each is imported on first use: the server of the labeling
page imports no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

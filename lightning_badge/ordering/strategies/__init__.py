"""The strategies, one module for each family.

Importing this package imports all its modules, which register their strategies. A new strategy is a
new module here; no other file has to change.
"""

import importlib
import pkgutil

from lightning_badge.ordering.registry import STRATEGIES, check_strategy

__all__ = ["STRATEGIES", "check_strategy"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

"""The strategies: one file for each family.

Importing this package imports every file in it, which enters its strategies into the registry: a
new strategy is one file here and needs no edit elsewhere.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

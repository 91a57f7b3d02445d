"""Objects that are found because a module of a package defines them."""

import importlib
import pkgutil
from types import ModuleType
from typing import Protocol, TypeVar


class Named(Protocol):
    """An object with a name."""

    @property
    def name(self) -> str:
        """The name that users choose it by."""


T = TypeVar("T", bound=Named)


def found_by_file(package: ModuleType, attribute: str, kind: type[T]) -> dict[str, T]:
    """Imports the modules of a package and returns the objects that they define, by name.

    Args:
        package: The package; its own ``__init__`` is not searched.
        attribute: Name of the variable in each module, such as ``BACKEND``; modules without it are
            ignored.
        kind: Class of the objects.
    """
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        imported = importlib.import_module(f"{package.__name__}.{module.name}")
        defined = getattr(imported, attribute, None)
        if isinstance(defined, kind):
            found[defined.name] = defined
    return found

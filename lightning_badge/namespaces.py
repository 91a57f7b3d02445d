"""The two packages of Lightning: ``lightning.pytorch`` and ``pytorch_lightning``.

Both contain the same code, but a class of one is unrelated to the class of the same name in the
other. This project imports only ``lightning.pytorch`` and accepts objects of both: it looks up
``pytorch_lightning`` among the imported modules and never imports it.
"""

import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def lightning_classes(name: str) -> tuple[Any, ...]:
    """Returns the classes of a name, one from each package of Lightning that is imported.

    Args:
        name: Path below the package, such as ``callbacks.RichProgressBar``.

    Returns:
        Classes for ``isinstance``; empty if this version of Lightning has no such class.
    """
    found = (_look_up(package, name) for package in _PACKAGES)
    return tuple(value for value in found if isinstance(value, type))


def overrides(instance: object, method: str) -> bool:
    """Whether a module or datamodule has a method that is not Lightning's own.

    Args:
        instance: An instance of a subclass of ``LightningModule`` or ``LightningDataModule``.
        method: Name of the method.
    """
    own = getattr(instance, method, None)
    bases = (*lightning_classes("LightningModule"), *lightning_classes("LightningDataModule"))
    inherited = [getattr(base, method, None) for base in bases]
    return callable(own) and getattr(own, "__func__", own) not in inherited


def inherited(instance: object, name: str, method: str, trainer: object) -> Callable[..., Any]:
    """Returns Lightning's own method from the package that a Trainer belongs to.

    A Trainer would regard the method of the other package as an override.

    Args:
        instance: Whose method.
        name: Of Lightning's class, as in `lightning_classes`.
        method: Its name.
        trainer: Of either package; None takes ``lightning.pytorch``.
    """
    classes, trainers = lightning_classes(name), lightning_classes("Trainer")
    owners = [
        owner for owner, kind in zip(classes, trainers, strict=True) if isinstance(trainer, kind)
    ]
    function: Callable[..., Any] = getattr((*owners, *classes)[0], method)
    return MethodType(function, instance)


def join_namespaces(cls: type, name: str) -> None:
    """Makes a class a subclass of Lightning's class in every package that is imported.

    A Trainer of ``pytorch_lightning`` refuses callbacks and datamodules that are not its
    subclasses.

    Args:
        cls: A class derived from the class in ``lightning.pytorch``.
        name: Name of that class, as in `lightning_classes`.
    """
    for base in lightning_classes(name):
        if not issubclass(cls, base):
            cls.__bases__ = (*cls.__bases__, base)


def _look_up(package: str, name: str) -> object:
    value: object = sys.modules.get(package)
    for part in name.split("."):
        value = getattr(value, part, None)
    return value

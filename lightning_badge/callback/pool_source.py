"""Finds the loader of the pool."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer

from lightning_badge.namespaces import lightning_classes, overrides
from lightning_badge.ordering.registry import Registered


@dataclass(frozen=True)
class PoolSource:
    """The source of the pool; calling it returns the pool's loader.

    Attributes:
        name: Name in messages.
        owner: The object whose method returns the loader; None if the loader was given.
        method: Name of the method.
    """

    name: str
    make: Callable[[], Iterable[Any]]
    owner: object = None
    method: str = ""

    def __call__(self) -> Iterable[Any]:
        """Returns the pool's loader."""
        return self.make()


def pool_source(
    trainer: Trainer, pl_module: LightningModule, given: Iterable[Any] | None = None
) -> PoolSource:
    """Finds the source of the pool, without building the loader yet.

    The first of: ``given``; ``pool_dataloader()`` of the datamodule, then of the module; their
    ``predict_dataloader()``.

    Raises:
        MisconfigurationException: There is no pool.
    """
    if given is not None:
        return PoolSource("BadgeCallback(pool=...)", partial(_only_loader, given))
    datamodule = getattr(trainer, "datamodule", None)
    owners = [owner for owner in (datamodule, pl_module) if owner is not None]
    for owner in owners:
        if callable(getattr(owner, "pool_dataloader", None)):
            return _method_of(owner, "pool_dataloader")
    for owner in owners:
        if overrides(owner, "predict_dataloader"):
            return _method_of(owner, "predict_dataloader")
    raise MisconfigurationException(
        "BadgeCallback found no pool to order; give one of: BadgeCallback(pool=DataLoader(...)), "
        "pool_dataloader() on the datamodule or the module (ActiveLearningDataModule has it), "
        "predict_dataloader() on either"
    )


def labeled_loader(trainer: Trainer, strategy: Registered) -> Any:
    """Returns the loader of the labeled set; None if the strategy does not use it.

    Raises:
        MisconfigurationException: The strategy needs it and the datamodule has none.
    """
    if "labeled" not in strategy.uses:
        return None
    if (loader := labeled_of(trainer)) is not None:
        return loader
    if "labeled" in strategy.needs:
        raise MisconfigurationException(
            "BadgeCallback: this strategy needs the labeled set, but the datamodule has no "
            "labeled_dataloader() (ActiveLearningDataModule has it); define one, or choose a "
            "strategy that does not need it"
        )
    return None


def labeled_of(trainer: Trainer) -> Any:
    """Returns the loader of the labeled set; None if the datamodule has none."""
    datamodule = getattr(trainer, "datamodule", None)
    has_it = callable(getattr(datamodule, "labeled_dataloader", None))
    return _ask(datamodule, "labeled_dataloader") if has_it else None


def _method_of(owner: object, method: str) -> PoolSource:
    name = f"{type(owner).__name__}.{method}()"
    return PoolSource(name, partial(_ask, owner, method), owner, method)


def _ask(owner: object, method: str) -> Any:
    try:
        loaders = getattr(owner, method)()
    except AttributeError as error:
        raise MisconfigurationException(
            f"{type(owner).__name__}.{method}() gave no pool: {error}; what only setup('predict') "
            "makes is not there yet: make it for every stage, or pass BadgeCallback(pool=...)"
        ) from error
    return _only_loader(loaders)


def _only_loader(loaders: Any) -> Any:
    if isinstance(loaders, lightning_classes("utilities.CombinedLoader")):
        loaders = loaders.flattened
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if not isinstance(loaders, list | tuple):
        return loaders
    if len(loaders) != 1:
        raise MisconfigurationException(
            f"BadgeCallback: expected one loader as the pool, got {len(loaders)}; join their data "
            "sets with torch.utils.data.ConcatDataset"
        )
    return loaders[0]

"""Connects a module to a Trainer outside of the Trainer's own loops."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lightning.pytorch import LightningModule, Trainer


@contextmanager
def connected(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Connects a module to a Trainer and moves it to the Trainer's device, inside the ``with``.

    Afterwards the Trainer has its previous module and the module is on its previous device, also
    after an exception. If the Trainer is already running this module, nothing changes.

    Args:
        trainer: Any Trainer, also one that never ran or that runs another module.
        pl_module: The model.
    """
    pl_module = getattr(pl_module, "_orig_mod", pl_module)  # of torch.compile
    strategy, before = trainer.strategy, pl_module.device
    with ExitStack() as restore:
        if strategy.lightning_module is not pl_module:
            restore.callback(setattr, strategy, "_lightning_module", strategy.lightning_module)
            restore.callback(setattr, strategy, "_model", strategy.model)
            strategy.connect(pl_module)
        if before != strategy.root_device:
            restore.callback(pl_module.to, before)
            pl_module.to(strategy.root_device)
        yield

"""A Trainer that runs a module outside of its own loops."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lightning.pytorch import LightningModule, Trainer


@contextmanager
def connected(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Lets a Trainer move batches for a module, which is on the Trainer's device meanwhile.

    Afterwards the Trainer has the module that it had, and the module is where it was, also after an
    exception. While the Trainer runs this module nothing changes.

    Args:
        trainer: Any one, also one that never ran, or runs another module.
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

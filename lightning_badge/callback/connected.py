"""A Trainer that can run a module outside of its own loops."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import LightningModule, Trainer


@contextmanager
def connected(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Connects a module to a Trainer and puts it on the Trainer's device.

    Afterwards the module is on the device where it was, also after an exception. While the Trainer
    runs the module nothing changes.

    Args:
        trainer: Any one, also one that never ran.
        pl_module: The model.
    """
    pl_module = getattr(pl_module, "_orig_mod", pl_module)  # of torch.compile
    if trainer.strategy.lightning_module is not pl_module:
        trainer.strategy.connect(pl_module)
        pl_module.trainer = trainer
    before, device = pl_module.device, trainer.strategy.root_device
    if before == device:
        yield
        return
    pl_module.to(device)
    try:
        yield
    finally:
        pl_module.to(before)

"""What older versions of Lightning do not have."""

import inspect

from lightning.pytorch import Trainer

# Lightning 2.5 has no such argument, and reads checkpoints with ``weights_only=False``.
HAS_WEIGHTS_ONLY = "weights_only" in inspect.signature(Trainer.validate).parameters
WEIGHTS_ONLY: dict[str, bool] = {"weights_only": True} if HAS_WEIGHTS_ONLY else {}
WHOLE: dict[str, bool] = {"weights_only": False} if HAS_WEIGHTS_ONLY else {}

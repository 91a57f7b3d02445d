"""BADGE active learning for PyTorch Lightning: the whole pool ordered, batches of any size.

The public names are listed in `__init__.pyi`. Each is imported on first use, so that importing the
package, and the help of the command `lightning-badge`, does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

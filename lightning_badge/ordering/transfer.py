"""Transfers between the host and the device of a pool, with as few host syncs as possible."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_host(*tensors: Tensor) -> list[npt.NDArray[np.float64]]:
    """Returns the tensors on the host, as flat float64 arrays, with a single transfer and sync."""
    flat = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu().numpy()
    return np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1])


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Returns an array as a tensor on the device; a copy to a GPU needs no host sync."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":  # only copies from pinned memory are asynchronous
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)

"""Which back end computes: found by file, resolved once for an ordering."""

import importlib
import logging
import pkgutil
from functools import cache

import torch

import lightning_badge.kernels as kernels
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.backend import Backend

_LOG = logging.getLogger(__name__)


@cache
def backends() -> dict[str, Backend]:
    """Returns all back ends by name: the ``BACKEND`` of each module beside this one.

    Importing these modules imports neither numba nor Triton.
    """
    found = {}
    for module in pkgutil.iter_modules(kernels.__path__):
        imported = importlib.import_module(f"{kernels.__name__}.{module.name}")
        backend = getattr(imported, "BACKEND", None)
        if isinstance(backend, Backend):
            found[backend.name] = backend
    return found


def backend_names() -> list[str]:
    """Returns what the argument ``backend`` may be."""
    return ["auto", *sorted(backends())]


def check_backend(backend: str) -> None:
    """Checks what is known before the device of a pool is.

    Raises:
        BadgeError: An unknown name, or a back end that is not installed.
    """
    if backend == "auto":
        return
    if backend not in backends():
        raise BadgeError(f"backend: expected one of {', '.join(backend_names())}, got {backend!r}")
    if problem := backends()[backend].not_installed():
        raise BadgeError(f"backend {backend!r} {problem}")


def resolve_backend(
    backend: str,
    device: torch.device | str = "cpu",
    n: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Backend:
    """Returns the back end that computes.

    Args:
        backend: A name, or ``auto``, which takes the fastest that is installed: Triton on an NVIDIA
            GPU, numba on the CPU from 4,096 rows on, else torch.
        device: Of the pool.
        n: Its rows.
        dtype: Of its embeddings.

    Raises:
        BadgeError: An unknown name, or a back end that cannot compute there.
    """
    check_backend(backend)
    device = torch.device(device)
    if backend != "auto":
        chosen = backends()[backend]
        if problem := chosen.unavailable(device, dtype):
            raise BadgeError(f"backend {backend!r} {problem}; backend='torch' computes anywhere")
        return chosen
    able = [
        candidate
        for candidate in backends().values()
        if candidate.preference(device, n) > 0
        and not candidate.not_installed()
        and not candidate.unavailable(device, dtype)
    ]
    chosen = max(able, key=lambda candidate: candidate.preference(device, n))
    if device.type != "cpu":
        _report_once(f"backend='auto': orderings on {device.type} are computed by {chosen.name}")
    return chosen


@cache
def _report_once(message: str) -> None:
    _LOG.info(message)

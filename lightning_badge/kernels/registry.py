"""The registry of back ends, and the choice of one for an ordering."""

import logging
from functools import cache

import torch

import lightning_badge.kernels as kernels
from lightning_badge.exceptions import BadgeError
from lightning_badge.found_by_file import found_by_file
from lightning_badge.kernels.backend import Backend

# Below this the back ends differ by less than a few seconds. TIMES is in the first table of
# docs/speed.md: our blocks without numba.
LARGE_POOL = 20_000
TIMES = 12

_LOG = logging.getLogger(__name__)


@cache
def backends() -> dict[str, Backend]:
    """Returns all back ends by name: the ``BACKEND`` object of each module in this folder.

    Importing these modules does not import numba or Triton.
    """
    return found_by_file(kernels, "BACKEND", Backend)  # type: ignore[type-abstract]


def backend_names() -> list[str]:
    """Returns the valid values of the argument ``backend``."""
    return ["auto", *sorted(backends())]


def check_backend(backend: str) -> None:
    """Checks that a back end exists and is installed; the device is not needed for that.

    Raises:
        BadgeError: An unknown name, or a back end that is not installed.
    """
    if isinstance(backend, str) and backend == "auto":
        return
    if not isinstance(backend, str) or backend not in backends():
        raise BadgeError(f"backend: expected one of {', '.join(backend_names())}, got {backend!r}")
    if problem := backends()[backend].not_installed():
        raise BadgeError(f"backend {backend!r} {problem}")


def resolve_backend(
    backend: str,
    device: torch.device | str = "cpu",
    n: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Backend:
    """Returns the back end for a pool.

    Args:
        backend: A name, or ``auto`` for the fastest installed one that works: Triton on an NVIDIA
            GPU, numba on the CPU from 4,096 rows on, otherwise torch.
        device: Device of the pool.
        n: Number of rows of the pool.
        dtype: Dtype of its embeddings.

    Raises:
        BadgeError: An unknown name, or a back end that cannot compute on this device and dtype.
    """
    check_backend(backend)
    device = torch.device(device)
    if backend != "auto":
        chosen = backends()[backend]
        if problem := chosen.unavailable(device, dtype) or chosen.broken():
            raise BadgeError(f"backend {backend!r} {problem}; backend='torch' computes anywhere")
        return chosen
    able = [
        candidate
        for candidate in backends().values()
        if candidate.preference(device, n) > 0
        and not candidate.not_installed()
        and not candidate.unavailable(device, dtype)
    ]
    able.sort(key=lambda candidate: candidate.preference(device, n), reverse=True)
    while problem := able[0].broken():
        _warn_once(f"backend='auto': {able[0].name} {problem}; {able[1].name} computes instead")
        del able[0]
    chosen = able[0]
    tell_missing(chosen, device, n)
    if device.type != "cpu":
        _report_once(f"backend='auto': orderings on {device.type} are computed by {chosen.name}")
    return chosen


def tell_missing(chosen: Backend, device: torch.device, n: int, *, least: int = LARGE_POOL) -> None:
    """Says once that a pool is large, and that what is fastest for it is not installed.

    Args:
        chosen: The back end that orders the pool.
        device: Device of the pool.
        n: Number of rows of the pool.
        least: Number of rows from which on a pool is large.
    """
    if device.type != "cpu" or n < least:
        return
    for faster in backends().values():
        missing = faster.not_installed()
        if missing and faster.preference(device, n) > chosen.preference(device, n):
            how = missing.partition("; ")[2].replace("'", '"')
            _warn_once(
                f"{faster.name} is not installed, so that {chosen.name} orders this large pool; "
                f"without it 60,000 rows took {TIMES} times as long, herding far longer "
                f"(docs/speed.md); {how}"
            )


@cache
def _report_once(message: str) -> None:
    _LOG.info(message)


@cache
def _warn_once(message: str) -> None:
    _LOG.warning(message)

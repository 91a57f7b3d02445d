"""Who computes: torch anywhere, numba on the CPU, Triton on NVIDIA GPUs."""

import logging
import os
from functools import cache
from importlib.util import find_spec
from shutil import which

import torch

from lightning_badge.exceptions import BadgeError

BACKENDS = ("auto", "torch", "numba", "triton")
# Smaller pools are ordered by torch in less time than numba takes to load.
NUMBA_FROM = 4096
# From here on tensor cores make float32 products of TF32 ones; older GPUs were not compiled for.
LEAST_CAPABILITY = (8, 0)

_LOG = logging.getLogger(__name__)


def check_backend(backend: str) -> None:
    """Checks what can be told before it is known where a pool is.

    Raises:
        BadgeError: An unknown name, or one that is not installed.
    """
    if backend not in BACKENDS:
        raise BadgeError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend in ("numba", "triton") and find_spec(backend) is None:
        raise BadgeError(
            f"backend {backend!r} is not installed; pip install 'lightning-badge[{backend}]'"
        )


def resolve_backend(
    backend: str,
    device: torch.device | str = "cpu",
    n: int = NUMBA_FROM,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Returns the back end that computes: ``torch``, ``numba`` or ``triton``.

    Args:
        backend: A name, or ``auto``, which takes what is installed and pays: Triton on an NVIDIA
            GPU, numba on the CPU from 4,096 rows on, else torch.
        device: Where the pool is.
        n: Its rows.
        dtype: Of its embeddings; Triton computes what is float32 or shorter.

    Raises:
        BadgeError: An unknown name, or a back end that cannot compute there.
    """
    check_backend(backend)
    device = torch.device(device)
    if backend == "numba" and device.type != "cpu":
        raise BadgeError(f"backend 'numba' computes on the CPU, but the pool is on {device}")
    if backend == "triton" and (obstacle := _triton_obstacle(device, dtype)):
        raise BadgeError(f"backend 'triton' {obstacle}; backend='torch' computes anywhere")
    if backend != "auto":
        return backend
    if device.type == "cpu":
        return "numba" if n >= NUMBA_FROM and find_spec("numba") is not None else "torch"
    if find_spec("triton") is None or _triton_obstacle(device, dtype):
        return "torch"
    _say_once(f"backend='auto': orderings on {device.type} are computed by Triton kernels")
    return "triton"


def _triton_obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    """Returns why the Triton kernels cannot compute on a device, or None."""
    if dtype == torch.float64:
        return "computes in float32, but the embeddings are float64"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None if device.type in ("cpu", "cuda") else f"cannot be interpreted on {device}"
    if torch.version.hip is not None:
        return "is for NVIDIA GPUs, and this torch is built for ROCm"
    if device.type != "cuda":
        return f"is for NVIDIA GPUs, but the pool is on {device}"
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        return (
            f"needs a GPU of compute capability {_dotted(LEAST_CAPABILITY)} or more, "
            f"and {device} has {_dotted(capability)}"
        )
    if "CC" not in os.environ and not (which("gcc") or which("clang")):
        return "needs a C compiler to start kernels: install gcc, or name one in CC"
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


@cache
def _say_once(message: str) -> None:
    _LOG.info(message)

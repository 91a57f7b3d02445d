"""Where float32 distances are accurate enough, and how large their errors are.

Inner products over the width run in float32, never in TF32 or bfloat16, whatever the global
settings are. ``N_i`` and ``N_c`` are the squared norms of a row and a center. If their squared
distance is below ``FLOAT64_BELOW * (N_i + N_c)``, cancellation has removed too many float32 digits,
and the pair is recomputed in float64. Below ``DIFFERENCE_FORM_BELOW * (N_i + N_c)`` float64 is not
enough either, and `difference_form` is used, which is exactly 0 for copies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors, powers_of_two

FLOAT64_BELOW = 1e-3
DIFFERENCE_FORM_BELOW = 1e-9
# Below this value of scaled norms a float32 product may have underflowed to 0.
UNDERFLOW = 1e-30


@contextmanager
def full_float32(device_type: str = "cpu") -> Iterator[None]:
    """Disables TF32, bfloat16 and autocast inside the ``with`` block; restores them afterwards."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    settings = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for backend, setting in zip(backends, settings, strict=True):
            backend.fp32_precision = setting


def scales(rows: Factors, centers: Factors) -> tuple[Tensor, Tensor]:
    """Returns powers of two ``[]`` that scale the largest logit gradient and activation near 1."""
    a_scale, h_scale = powers_of_two(torch.maximum(rows.largest, centers.largest)).unbind()
    return a_scale, h_scale


def roundoff(rows: Factors, dtype: torch.dtype) -> float:
    """Returns an error bound of factored squared distances, as a fraction of ``N_i + N_c``.

    With unit roundoff ``u``, an inner product of ``d`` terms has an error of at most
    ``d * u / (1 - d * u)`` times the product of both norms, in any summation order (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1). Twice that product is at most
    ``N_i + N_c``. The norms, their sum and the last step add a few ``u``. As ``eps`` is ``2 u``,
    the value returned is twice the bound.
    """
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    return (c + h + 8) * torch.finfo(dtype).eps

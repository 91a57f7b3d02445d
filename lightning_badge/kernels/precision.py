"""When float32 is enough, and how its digits are kept.

Long products run in float32, never in TF32 or bfloat16, whatever the process has set. A pair whose
squared distance is below ``FLOAT64_BELOW`` of ``N_i + N_c`` has lost float32's digits to
cancellation and is computed again in float64. Below ``DIFFERENCE_FORM_BELOW`` float64's digits are
lost too, and the difference form is used, which gives exactly 0 for copies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors

FLOAT64_BELOW = 1e-3
DIFFERENCE_FORM_BELOW = 1e-9
# Scaled norms this small may have lost their product to underflow.
UNDERFLOW = 1e-30


@contextmanager
def full_float32(device_type: str = "cpu") -> Iterator[None]:
    """Forbids TF32 and bfloat16 products inside, and leaves the process's settings as they were."""
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
    """Returns the powers of two ``[]`` that bring the largest factors of both sides near 1."""
    bits = torch.maximum(rows.largest, centers.largest).view(torch.int64)
    exponent = ((bits >> 52) - 1022).clamp(-126, 126)
    a_scale, h_scale = ((1023 - exponent) << 52).view(torch.float64).unbind()
    return a_scale, h_scale


def roundoff(rows: Factors, dtype: torch.dtype) -> float:
    """Returns the share of ``N_i + N_c`` that factored distances are off by at most.

    A product of ``d`` terms is off by ``d * u / (1 - d * u)`` times both lengths (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1), whatever the order of its sum; twice the
    product of both lengths is at most ``N_i + N_c``. Norms, their sum and the last step cost a few
    ``u`` more. ``eps`` is ``2 u``: this is twice the bound.
    """
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    return (c + h + 8) * torch.finfo(dtype).eps

"""Checks that a head is linear: its output is ``input @ weight.T + bias``.

Only for a linear layer is the outer product of the gradient at the logits and the layer's input the
gradient of its weight. A layer that normalizes its input or its weight has another gradient.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_badge.capture.candidates import adapted_layer, innermost
from lightning_badge.capture.layer_calls import CONVOLUTIONS
from lightning_badge.exceptions import HeadError

_ROWS = 32
_PROBE_SEED = 0
_AFFINE = 1e-4  # some modules compute in float32 whatever they are given


class _Output(NamedTuple):
    """The expected output of a layer, ``[n, c]``, and the bound of its rounding errors."""

    exact: Tensor
    scale: Tensor


def reject_nonlinear(name: str, module: nn.Module, penultimate: Tensor, logits: Tensor) -> None:
    """Checks some rows of a head's input and output.

    A layer with a weight must have applied that weight, an adapter its merged weight. Any other
    module must be affine, which is tested on a float64 copy of it.

    Args:
        name: Name of the head, for the error message.
        module: The head.
        penultimate: Its input, ``[n, h]``.
        logits: Its output, ``[n, c]``.

    Raises:
        HeadError: The head is not linear.

    Example:
        >>> layer, x = nn.Linear(4, 3), torch.ones(2, 4)
        >>> reject_nonlinear("fc", layer, x, layer(x))
    """
    if type(module) is nn.Linear and module.weight.ndim != 2:
        return  # FSDP keeps a flat part of the weight here; this class is linear
    # On the CPU: not every device has float64.
    rows, seen = (tensor[:_ROWS].detach().cpu().double() for tensor in (penultimate, logits))
    tolerance = _tolerance(penultimate, logits)
    outputs = _by_weight(module, rows, seen.shape[1])
    if any(_agrees(seen, output, tolerance) for output in outputs):
        return
    if outputs:
        own = "its weight" if adapted_layer(module) is None else "the adapter's merged weight"
        problem = f"its output is not input @ weight.T + bias with {own}"
    elif _is_affine(module, rows):
        return
    else:
        problem = "its output is not an affine function of its input"
    raise HeadError(
        f"head {name!r} ({type(module).__name__}): expected a linear layer, but {problem}; the "
        "gradient embedding is that of linear heads, so normalized ones and others are refused; "
        "name another layer with head=..., or end the model in nn.Linear"
    )


def _by_weight(module: nn.Module, rows: Tensor, c: int) -> list[_Output]:
    """Returns the possible outputs of a layer's weight; none if it has no weight."""
    layer = _merged(module)
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return []
    exact = _whole(weight).cpu().double()
    matrix = exact.flatten(1) if isinstance(layer, CONVOLUTIONS) else exact
    # Some libraries keep the weight of a linear layer transposed.
    transposes = not isinstance(layer, (nn.Linear, *CONVOLUTIONS))
    forms = [matrix, matrix.T] if transposes and matrix.ndim == 2 else [matrix]
    fitting = [form for form in forms if form.shape == (c, rows.shape[1])]
    offset = rows.new_zeros(c)
    if isinstance(bias, Tensor) and bias.shape == offset.shape:
        offset = _whole(bias).cpu().double()
    return [
        _Output(rows @ form.T + offset, rows.abs() @ form.abs().T + offset.abs())
        for form in fitting
    ]


def _whole(weight: Tensor) -> Tensor:
    """Returns a weight; one that processes hold in parts is collected on all of them."""
    # Of a DTensor, whose import is slow.
    full: Tensor = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
    return full.detach()


def _merged(module: nn.Module) -> nn.Module:
    """Returns the linear layer into which an adapter merges; the module itself if it is not one."""
    if adapted_layer(module) is None:
        return module
    if hasattr(module, "merge") and not getattr(module, "disable_adapters", False):
        adapter: Any = copy.deepcopy(module)
        if not getattr(adapter, "merged", False):
            adapter.merge()
        return innermost(adapter)
    return innermost(module)


def _agrees(seen: Tensor, output: _Output, tolerance: float) -> bool:
    # Entries that are -inf (masked classes) or NaN (diverged training) are not compared.
    known = seen.isfinite() & output.exact.isfinite()
    error = (seen - output.exact).abs()
    return bool((error <= tolerance * output.scale)[known].all())


def _tolerance(penultimate: Tensor, logits: Tensor) -> float:
    """Returns the relative rounding error of a matrix product in its precision."""
    dtype = min((penultimate.dtype, logits.dtype), key=lambda dtype: -torch.finfo(dtype).eps)
    if dtype.itemsize < torch.float32.itemsize:
        return 2 * torch.finfo(dtype).eps
    if dtype == torch.float64:
        return 1e-9
    # Float32 products may run in TF32 or bfloat16.
    allowed = {"highest": 1e-4, "high": 2e-3}
    tolerance = allowed.get(torch.get_float32_matmul_precision(), 2e-2)
    return tolerance if logits.device.type == "cpu" else max(tolerance, 2e-3)


def _is_affine(module: nn.Module, rows: Tensor) -> bool:
    """Whether ``f(x + y) - f(x) - f(y) + f(0)`` vanishes for the rows ``[m, h]``."""
    generator = torch.Generator().manual_seed(_PROBE_SEED)
    others = torch.randn(rows.shape, dtype=rows.dtype, generator=generator)
    others = others * rows.std().nan_to_num().clamp(min=1e-3)
    inputs = torch.cat([rows + others, rows, others, torch.zeros_like(rows)])
    twin = copy.deepcopy(getattr(module, "_orig_mod", module)).cpu().double().eval()
    with torch.no_grad():
        outputs = twin(inputs).flatten(1)
    both, one, other, none = outputs.chunk(4)
    error = (both - one - other + none).abs()
    scale = both.abs() + one.abs() + other.abs() + none.abs()
    return bool((error <= _AFFINE * scale.amax()).all())

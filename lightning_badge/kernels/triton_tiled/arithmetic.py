"""Code shared by the Triton kernels: products of tiles, distances in float64, kernel launch."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.precision import DIFFERENCE_FORM_BELOW

# Smallest inner dimension of ``tl.dot``; Triton below 3.8 does not compile fewer than 16.
SHALLOWEST = 16
# Classes of a bound at a time.
CLASSES = 16
# Side of a float64 tile, its depth, and its warps.
EXACT_SIDE, EXACT_DEPTH, EXACT_WARPS = 32, 16, 4
# Arguments that change from call to call; Triton must not recompile for 1 or multiples of 16.
CHANGING = ["n", "r", "m"]

INF = tl.constexpr(float("inf"))
_SHALLOWEST = tl.constexpr(SHALLOWEST)
_DIFFERENCE_FORM_BELOW = tl.constexpr(DIFFERENCE_FORM_BELOW)


@triton.jit
def sq_norms(sq_norm, at, inside, unit):
    """Returns squared norms times ``unit`` in float32, 0 outside."""
    return (tl.load(sq_norm + at, inside, other=0.0) * unit).to(tl.float32)


@triton.jit
def n_valid(m, number):
    """Returns how many of ``m`` centers are valid: the first ``number`` of them; None: all."""
    valid = m
    if number is not None:
        valid = tl.minimum(m, tl.load(number).to(tl.int32))
    return valid


@triton.jit
def add_product(
    total, x, x_at, x_stride, x_here, y, y_at, y_stride, y_here, width, scale,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Adds the inner products of rows ``x_at`` of ``x`` and ``y_at`` of ``y`` to ``total``."""
    tl.static_assert(DEPTH >= _SHALLOWEST)
    for start in range(0, width, DEPTH):
        k = start + tl.arange(0, DEPTH)
        inside = k < width
        x_part = tl.load(
            x + x_at[:, None] * x_stride + k[None, :], x_here[:, None] & inside[None, :], other=0.0
        )
        y_part = tl.load(
            y + y_at[None, :] * y_stride + k[:, None], y_here[None, :] & inside[:, None], other=0.0
        )
        x_part, y_part = x_part.to(total.dtype) * scale, y_part.to(total.dtype) * scale
        total = tl.dot(x_part, y_part, total, input_precision=PRECISION, out_dtype=total.dtype)
    return total


@triton.jit
def _mean_and_difference(zeros, x, x_at, x_stride, x_here, y, y_at, y_stride, y_here, width):
    """Returns ``<s, s>``, ``<t, t>`` and ``<s, t>`` of rows, with s = (x + y) / 2, t = x - y."""
    ss, tt, st = zeros, zeros, zeros
    for k in range(width):
        x_k = tl.load(x + x_at * x_stride + k, x_here, other=0.0).to(tl.float64)[:, None]
        y_k = tl.load(y + y_at * y_stride + k, y_here, other=0.0).to(tl.float64)[None, :]
        s, t = 0.5 * (x_k + y_k), x_k - y_k
        ss += s * s
        tt += t * t
        st += s * t
    return ss, tt, st


@triton.jit
def exact_sq_dist(
    a, h_, n_i, row, here, a_stride, h_stride,
    other_a, other_h, n_j, at, there, other_a_stride, other_h_stride,
    known, same, c, h,
    SIDE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Returns squared distances ``[SIDE, SIDE]`` in float64; exactly 0 for copies.

    The difference form is used where a distance may be below ``known`` and float64 has lost its
    digits to cancellation. It is slow, so pairs of a row with itself are marked in ``same``.
    """
    one: tl.constexpr = 1.0
    zeros = tl.zeros([SIDE, SIDE], tl.float64)
    a_a = add_product(
        zeros, a, row, a_stride, here, other_a, at, other_a_stride, there, c, one, DEPTH, "ieee"
    )
    h_h = add_product(
        zeros, h_, row, h_stride, here, other_h, at, other_h_stride, there, h, one, DEPTH, "ieee"
    )
    norms = n_i[:, None] + n_j[None, :]
    sq_dist = norms - 2.0 * a_a * h_h
    near = (sq_dist < norms * _DIFFERENCE_FORM_BELOW) & (
        sq_dist - norms * _DIFFERENCE_FORM_BELOW < known[:, None]
    )
    if same is not None:
        near = near & (same == 0)
        sq_dist = tl.where(same, 0.0, sq_dist)
    if tl.max(near.to(tl.int32)) > 0:
        ss, tt, st = _mean_and_difference(
            zeros, a, row, a_stride, here, other_a, at, other_a_stride, there, c
        )
        uu, vv, uv = _mean_and_difference(
            zeros, h_, row, h_stride, here, other_h, at, other_h_stride, there, h
        )
        sq_dist = tl.where(near, ss * vv + tt * uu + 2.0 * st * uv, sq_dist)
    return tl.maximum(sq_dist, 0.0)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Launches a kernel on the device of its first argument, even if another one is current."""
    # Fusion is explicit, because Triton warns that its default may change.
    device = arguments[0].get_device()
    if device < 0 or device == torch.cuda.current_device():
        kernel[grid](*arguments, enable_fp_fusion=True, **constants)
        return
    with torch.cuda.device(device):
        kernel[grid](*arguments, enable_fp_fusion=True, **constants)


def most_registers(warps: int) -> int:
    """Returns the registers per thread if one program runs on each multiprocessor.

    Without this limit, ptxas spills some registers in order to fit one more program.
    """
    return min(255, 2**16 // (32 * warps))


def with_contiguous_rows(matrix: Tensor) -> Tensor:
    """Returns the matrix, or a copy if the entries of a row are not adjacent in memory."""
    return matrix if matrix.stride(1) == 1 else matrix.contiguous()

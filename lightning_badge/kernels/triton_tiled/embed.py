"""Logit gradients and embedding norms: one pass over the logits and the activations."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.gradient import Loss
from lightning_badge.kernels.triton_tiled.arithmetic import (
    CHANGING,
    INF,
    launch,
    most_registers,
    with_contiguous_rows,
)

# With more classes than ALL_CLASSES, the logits are read twice, SOME_CLASSES at a time. ENTRIES is
# the largest number of tile entries per program, unless a single row has more classes.
ALL_CLASSES, SOME_CLASSES, ENTRIES = 16384, 2048, 2048

# Finite, because inf - inf is NaN.
_LEAST = tl.constexpr(torch.finfo(torch.float32).min)


@triton.jit(do_not_specialize=CHANGING)
def logit_grad_kernel(
    logits,
    penultimate,
    grad,
    sq_norm,
    n,
    c,
    h,
    logits_stride,
    penultimate_stride,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
    WIDTH: tl.constexpr,
    BINARY: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """Writes logit gradients ``[n, c]`` and squared embedding norms ``[n]``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = row < n
    z_row = logits + row[:, None] * logits_stride
    grad_row = grad + row[:, None] * c
    a_sq = tl.zeros([ROWS], tl.float64)
    if BINARY:
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-INF).to(tl.float32)
            e = tl.exp(-tl.abs(z))
            part = tl.where(z > 0, -1.0, 1.0) * (e / (1.0 + e))
            tl.store(grad_row + column[None, :], part, inside)
            a_sq += tl.sum(part.to(tl.float64) * part.to(tl.float64), axis=1)
    elif WHOLE:
        column = tl.arange(0, CLASSES)
        inside = here[:, None] & (column < c)[None, :]
        z = tl.load(z_row + column[None, :], inside, other=-INF).to(tl.float32)
        largest, label = tl.max(z, axis=1, return_indices=True)
        e = tl.exp(z - tl.maximum(largest, _LEAST)[:, None])
        e = tl.where(column[None, :] == label[:, None], 0.0, e)
        others = tl.sum(e, axis=1)
        total = 1.0 + others
        part = tl.where(column[None, :] == label[:, None], -others[:, None], e) / total[:, None]
        tl.store(grad_row + column[None, :], part, inside)
        part = tl.where(inside, part, 0.0).to(tl.float64)
        a_sq = tl.sum(part * part, axis=1)
    else:
        # Online softmax; the sum excludes the label's own term, which is 1.
        largest = tl.full([ROWS], _LEAST, tl.float32)
        others = tl.zeros([ROWS], tl.float32)
        label = tl.zeros([ROWS], tl.int32)
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-INF).to(tl.float32)
            best, at = tl.max(z, axis=1, return_indices=True)
            at = start + at
            is_new = best > largest
            high = tl.maximum(best, largest)
            shrunk = tl.where(is_new, tl.exp(largest - high), 1.0)
            label = tl.where(is_new, at, label)
            e = tl.exp(z - high[:, None])
            e = tl.where(column[None, :] == label[:, None], 0.0, e)
            # A new label turns the previous one, whose term was 1, into one of the others.
            others = tl.where(is_new, (others + 1.0) * shrunk, others) + tl.sum(e, axis=1)
            largest = high
        total = 1.0 + others
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-INF).to(tl.float32)
            e = tl.exp(z - largest[:, None])
            part = tl.where(column[None, :] == label[:, None], -others[:, None], e)
            part = part / total[:, None]
            tl.store(grad_row + column[None, :], part, inside)
            part = tl.where(inside, part, 0.0).to(tl.float64)
            a_sq += tl.sum(part * part, axis=1)
    h_sq = tl.zeros([ROWS], tl.float64)
    for k in range(0, h, WIDTH):
        unit = k + tl.arange(0, WIDTH)
        active = here[:, None] & (unit < h)[None, :]
        x = tl.load(
            penultimate + row[:, None] * penultimate_stride + unit[None, :], active, other=0.0
        ).to(tl.float64)
        h_sq += tl.sum(x * x, axis=1)
    tl.store(sq_norm + row, a_sq * h_sq, here)


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Returns the loss gradient at the hallucinated label, and the squared embedding norms.

    Args:
        penultimate: ``[n, h]`` float32, float16 or bfloat16.
        logits: ``[n, c]`` likewise; ``-inf`` marks a masked class.
        loss: The loss that is differentiated.

    Returns:
        Logit gradients ``[n, c]`` float32, and squared norms ``[n]`` float64.
    """
    penultimate, logits = with_contiguous_rows(penultimate), with_contiguous_rows(logits)
    (n, c), h = logits.shape, penultimate.shape[1]
    grad = logits.new_empty(n, c, dtype=torch.float32)
    sq_norm = logits.new_empty(n, dtype=torch.float64)
    if not n:
        return grad, sq_norm
    binary = loss == "binary_cross_entropy"
    classes, rows, width, warps = logit_grad_tile(c, h, binary)
    launch(
        logit_grad_kernel, (triton.cdiv(n, rows),),
        logits, penultimate, grad, sq_norm, n, c, h, logits.stride(0), penultimate.stride(0),
        ROWS=rows, CLASSES=classes, WIDTH=width, BINARY=binary, WHOLE=c <= classes,
        num_warps=warps, maxnreg=most_registers(warps),
    )  # fmt: skip
    return grad, sq_norm


def logit_grad_tile(c: int, h: int, binary: bool) -> tuple[int, int, int, int]:
    """Returns the classes, rows and width of a tile, and the warps of a program."""
    classes = max(triton.next_power_of_2(c), 16)
    if binary:
        classes = min(classes, SOME_CLASSES)
    elif classes > ALL_CLASSES:
        classes = SOME_CLASSES
    rows = min(max(ENTRIES // classes, 1), 64)
    width = min(max(triton.next_power_of_2(h), 16), ENTRIES // rows)
    return classes, rows, width, min(max(classes * rows // 512, 4), 16)

"""Matrices spread over the threads of a warp, and products of them.

Layouts are those of the PTX manual, sections "Matrix fragments for mma" and "Register fragments and
shared memory matrix layouts" of wgmma. Products of TF32 numbers are exact in float64; their sum is
rounded to float32 toward zero, as NVIDIA GPUs do. Thread ``4 r + q`` of a warp holds row ``r``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptx.arithmetic import Bits, bits_of

LANES = 32
# Places of the 16-bit halves of 8 x 8 matrices that each lane holds.
ROW, COLUMN = np.arange(LANES) // 4, 2 * (np.arange(LANES) % 4)


def matrices(bits: list[Bits], *, transposed: bool) -> list[Bits]:
    """Returns ``ldmatrix``'s registers of 8 x 8 matrices of 16-bit halves, ``[warps, 8, 16]``."""
    registers = []
    for rows in bits:
        halves = np.ascontiguousarray(rows).view(np.uint16)
        if transposed:
            halves = halves.transpose(0, 2, 1)
        pairs = np.stack([halves[:, ROW, COLUMN], halves[:, ROW, COLUMN + 1]], -1)
        registers.append(pairs.copy().view(np.uint32).reshape(-1))
    return registers


def rows_of_matrix(register: Bits, *, transposed: bool) -> Bits:
    """Returns the bytes ``[warps, 8, 16]`` that ``stmatrix`` stores of one register."""
    pairs = np.ascontiguousarray(register).view(np.uint16).reshape(-1, LANES, 2)
    halves = np.empty((len(pairs), 8, 8), np.uint16)
    halves[:, ROW, COLUMN], halves[:, ROW, COLUMN + 1] = pairs[..., 0], pairs[..., 1]
    if transposed:
        halves = halves.transpose(0, 2, 1)
    return np.ascontiguousarray(halves).view(np.uint8)


def product(parts: tuple[str, ...], a: list[Bits], b: list[Bits], c: list[Bits]) -> list[Bits]:
    """Computes ``mma.sync``: a b + c.

    Args:
        parts: The opcode.
        a: Registers of the left matrix, row by row.
        b: Registers of the right matrix, column by column.
        c: Registers of the sum.
    """
    shape, kinds = parts[3], parts[6:]
    if kinds == ("f32", "tf32", "tf32", "f32") and shape == "m16n8k8":
        total = _placed(c) + _placed_left(a) @ _placed_right(b)
        return _registers(toward_zero(total))
    assert set(kinds) == {"f64"}, parts
    left = _placed_left(a) if shape == "m16n8k16" else _factor(a[0])
    total = _placed(c)
    right = _placed_right(b)
    # One fused multiplication and addition a term; longdouble is nearly exact.
    for k in range(left.shape[2]):
        term = left[:, :, k, None].astype(np.longdouble) * right[:, k, None, :]
        total = (total + term).astype(np.float64)
    return _registers(total)


def product_of_groups(d: list[Bits], a: list[Bits], b: NDArray, accumulate: NDArray) -> list[Bits]:
    """Computes ``wgmma`` of TF32 numbers: a b + d, or a b.

    Args:
        d: Registers of the sum, 4 for each 8 columns.
        a: 4 registers of the left matrix, ``[64, 8]`` for 4 warps.
        b: The right matrices of the groups of warps, ``[groups, columns, 8]``.
        accumulate: Whether to add ``d``, ``[groups]``.
    """
    groups = len(b)
    left = _placed_left(a).reshape(groups, 64, 8)
    total = left @ b.transpose(0, 2, 1)
    tiles = [_placed(d[i : i + 4]) for i in range(0, len(d), 4)]
    before = np.concatenate([tile.reshape(groups, 64, 8) for tile in tiles], 2)
    total = toward_zero(np.where(accumulate[:, None, None], before, 0.0) + total)
    columns = range(0, total.shape[2], 8)
    tiles = [total[:, :, i : i + 8].reshape(4 * groups, 16, 8) for i in columns]
    return [register for tile in tiles for register in _registers(tile)]


def addresses_of_descriptor(descriptor: int, columns: int) -> NDArray:
    """Returns the addresses ``[columns, 8]`` of TF32 numbers that a wgmma descriptor describes."""
    start, stride = (descriptor & 0x3FFF) << 4, (descriptor >> 32 & 0x3FFF) << 4
    # Bytes of a swizzled row, and the bits that are exclusive-ored into the address.
    pitch, bits = {1: (128, 7), 2: (64, 3), 3: (32, 1)}[descriptor >> 62]
    column, k = np.arange(columns)[:, None], np.arange(8)[None, :]
    address = start + column // 8 * stride + column % 8 * pitch + 4 * k
    return address ^ ((address >> 7 & bits) << 4)


def tf32(bits: Bits) -> NDArray:
    """Returns the numbers that a tensor core reads: the last 13 bits are ignored."""
    return (bits & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)


def toward_zero(numbers: NDArray) -> NDArray:
    """Rounds float64 to float32 toward zero."""
    nearest = numbers.astype(np.float32)
    too_far = np.abs(nearest.astype(np.float64)) > np.abs(numbers)
    return np.where(too_far, np.nextafter(nearest, np.float32(0)), nearest)


def _factor(register: Bits) -> NDArray:
    """Returns the 8 x 4 matrices, ``[warps, 8, 4]``, of one register of a factor."""
    numbers = tf32(register) if register.dtype == np.uint32 else register.view(np.float64)
    return numbers.reshape(-1, 8, 4)


def _placed_left(registers: list[Bits]) -> NDArray:
    """Returns a left matrix ``[warps, 16, 4 len / 2]``: two registers for 4 columns."""
    parts = list(map(_factor, registers))
    halves = [np.concatenate(parts[i : i + 2], 1) for i in range(0, len(parts), 2)]
    return np.concatenate(halves, 2)


def _placed_right(registers: list[Bits]) -> NDArray:
    """Returns a right matrix ``[warps, 4 len, 8]``: a register for 4 rows."""
    return np.concatenate([_factor(register).transpose(0, 2, 1) for register in registers], 1)


def _placed(registers: list[Bits]) -> NDArray:
    """Returns a sum ``[warps, 8 or 16, 8]`` in float64: two registers for 8 rows."""
    dtype = np.float32 if registers[0].dtype == np.uint32 else np.float64
    parts = [bits.view(dtype).astype(np.float64).reshape(-1, 8, 4) for bits in registers]
    rows = [np.stack(parts[i : i + 2], 3).reshape(-1, 8, 8) for i in range(0, len(parts), 2)]
    return np.concatenate(rows, 1)


def _registers(matrix: NDArray) -> list[Bits]:
    """Inverse of `_placed`."""
    warps, rows, _ = matrix.shape
    parts = matrix.reshape(warps, rows // 8, LANES, 2)
    return [
        bits_of(np.ascontiguousarray(parts[:, half, :, side]).reshape(-1))
        for half in range(rows // 8)
        for side in range(2)
    ]

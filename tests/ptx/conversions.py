"""Conversions between types, and registers as parts of wider ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptx.arithmetic import FLOATS, SIGNED, UNSIGNED, Bits, bits_of, typed, width

ROUNDED_TO_INTEGERS = {"rzi": np.trunc, "rpi": np.ceil, "rni": np.rint, "rmi": np.floor}


def converted(parts: tuple[str, ...], bits: Bits, register: type) -> Bits:
    """Computes ``cvt``.

    Args:
        parts: The opcode, such as ``("cvt", "rn", "f32", "f64")``.
        bits: The operand.
        register: Type of the destination register, which may be wider than the result.
    """
    to, source = parts[-2:]
    if to == "tf32":
        assert "rna" in parts
        return _rounded_to_tf32(bits)
    numbers = typed(source, bits)
    if modes := ROUNDED_TO_INTEGERS.keys() & set(parts):
        numbers = ROUNDED_TO_INTEGERS[modes.pop()](numbers)
    if to in ("f16", "f32", "f64"):
        return bits_of(numbers.astype(FLOATS[width(to)]))
    if to == "bf16":
        raise NotImplementedError(".".join(parts))
    result = (SIGNED if to[0] == "s" else UNSIGNED)[width(to)]
    numbers = _clamped(numbers, result) if numbers.dtype.kind == "f" else numbers.astype(result)
    return widened(bits_of(numbers), register, signed=to[0] == "s")


def widened(bits: Bits, register: type, *, signed: bool) -> Bits:
    """Returns bits as a register of at least their width holds them."""
    if bits.dtype == register:
        return bits
    if signed:
        wide = SIGNED[8 * np.dtype(register).itemsize]
        return bits.view(SIGNED[8 * bits.dtype.itemsize]).astype(wide).view(register)
    return bits.astype(register)


def joined(parts: list[Bits], register: type) -> Bits:
    """Returns a register whose parts, lowest first, are given."""
    size = 8 * np.dtype(register).itemsize // len(parts)
    columns = np.stack([part.astype(UNSIGNED[size]) for part in parts], 1)
    return columns.view(register)[:, 0]


def split(bits: Bits, count: int) -> list[Bits]:
    """Returns the parts of registers, lowest first."""
    size = 8 * bits.dtype.itemsize // count
    columns = np.ascontiguousarray(bits).view(UNSIGNED[size]).reshape(-1, count)
    return [np.ascontiguousarray(column) for column in columns.T]


def _rounded_to_tf32(bits: Bits) -> Bits:
    """Rounds float32 to 10 bits of mantissa, ties away from zero."""
    finite = (bits & np.uint32(0x7F800000)) != 0x7F800000
    return np.where(finite, (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits)


def _clamped(numbers: NDArray, dtype: type) -> NDArray:
    """Converts floats to integers as PTX does: to the nearest end if out of range, NaN to 0."""
    ends = np.iinfo(dtype)
    # The highest integer is not a float; what is below the next power of two fits.
    above, below = numbers >= float(ends.max), numbers <= float(ends.min)
    inside = np.where(above | below | np.isnan(numbers), 0, numbers).astype(dtype)
    return np.where(above, ends.max, np.where(below, ends.min, inside)).astype(dtype)

"""Instructions whose results depend on their operands alone, thread by thread."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.unsignedinteger]
UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
SIGNED = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}
FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
# Modifiers that do not change results here: float64 intermediates are accurate enough for all.
ROUNDING = {"rn", "approx", "full", "ftz", "lo", "NaN"}


@cache
def width(kind: str) -> int:
    """Returns the bits of a type such as ``s32``, ``bf16`` or ``pred``."""
    return {"pred": 1, "bf16": 16, "bf16x2": 32, "f16x2": 32, "tf32": 32}.get(kind) or int(kind[1:])


@cache
def _number_type(kind: str) -> type:
    return {"s": SIGNED, "f": FLOATS}.get(kind[0], UNSIGNED)[width(kind)]


def typed(kind: str, bits: Bits) -> NDArray:
    """Returns the numbers that bits represent."""
    if kind == "pred":
        return bits
    if kind == "bf16":
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if bits.dtype.itemsize * 8 != width(kind):
        bits = bits.astype(UNSIGNED[width(kind)])
    return bits.view(_number_type(kind))


def bits_of(numbers: NDArray) -> Bits:
    """Returns the bits that represent numbers; inverse of `typed`."""
    if numbers.dtype == np.bool_:
        return numbers
    return numbers.view(UNSIGNED[numbers.dtype.itemsize * 8])


def compute(parts: tuple[str, ...], operands: list[Bits]) -> Bits:
    """Computes a result from the bits of the operands.

    Args:
        parts: The opcode, such as ``("fma", "rn", "f32")``.
        operands: The bits of each operand, ``[threads]`` each.
    """
    base, kind = parts[0], parts[-1]
    if base == "setp":
        return _compared(parts, operands)
    if base == "selp":
        return np.where(operands[2], operands[0], operands[1])
    if base in BITWISE:
        return BITWISE[base](*operands)
    if base in ("shl", "shr", "bfe"):
        return SHIFTS[base](kind, *operands)
    if base == "prmt":
        return _permuted_bytes(*operands)
    if parts[1] == "wide":
        wide = {"s": SIGNED, "u": UNSIGNED}[kind[0]][2 * width(kind)]
        product = typed(kind, operands[0]).astype(wide) * typed(kind, operands[1]).astype(wide)
        return bits_of(product) + operands[2] if base == "mad" else bits_of(product)
    if kind in SIGNS:
        return SIGNS[kind][base](operands[0])
    if not ROUNDING.issuperset(parts[1:-1]):
        raise NotImplementedError(".".join(parts))
    numbers = [typed(kind, bits) for bits in operands]
    if kind[0] == "f":
        return bits_of(_of_floats(parts, numbers))
    return bits_of(INTEGER[base](*numbers))


def _of_floats(parts: tuple[str, ...], numbers: list[NDArray]) -> NDArray:
    base, dtype = parts[0], numbers[0].dtype
    if base in ("min", "max") and "NaN" in parts:
        return {"min": np.minimum, "max": np.maximum}[base](*numbers)
    flush = "ftz" in parts
    if flush:
        numbers = [np.where(np.abs(x) < np.finfo(dtype).tiny, 0 * x, x) for x in numbers]
    result = FLOAT[base](*numbers).astype(dtype)
    return np.where(np.abs(result) < np.finfo(dtype).tiny, 0 * result, result) if flush else result


def _fma(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    # In float64 for float32. A longdouble has only 11 bits more than a float64, so the last bit of
    # a float64 result may be off.
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    return x.astype(wide) * y.astype(wide) + z.astype(wide)


FLOAT: dict[str, Callable[..., NDArray]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "fma": _fma,
    "min": np.fmin,
    "max": np.fmax,
    "neg": operator.neg,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "ex2": lambda x: np.exp2(x.astype(np.float64)),
}
INTEGER: dict[str, Callable[..., NDArray]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "mad": lambda x, y, z: x * y + z,
    "min": np.minimum,
    "max": np.maximum,
    "neg": operator.neg,
    "abs": np.abs,
}
BITWISE: dict[str, Callable[..., NDArray]] = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "not": operator.invert,
}
# Of types that have no other arithmetic here: the sign bits.
SIGNS: dict[str, dict[str, Callable[[Bits], Bits]]] = {
    kind: {"neg": lambda bits, sign=sign: bits ^ sign, "abs": lambda bits, sign=sign: bits & ~sign}
    for kind, sign in (
        ("bf16", np.uint16(0x8000)),
        ("bf16x2", np.uint32(0x80008000)),
        ("f16x2", np.uint32(0x80008000)),
    )
}
COMPARISONS: dict[str, Callable[..., NDArray]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


def _compared(parts: tuple[str, ...], operands: list[Bits]) -> Bits:
    """Compares; ``setp.lt.and.s32`` combines the result with a third operand."""
    name, kind = parts[1], parts[-1]
    x, y = (typed(kind, bits) for bits in operands[:2])
    if kind[0] in "fb" and kind not in ("b16", "b32", "b64"):
        unordered = np.isnan(x) | np.isnan(y)
        if name in ("num", "nan"):
            result = unordered if name == "nan" else ~unordered
        elif name.endswith("u"):
            result = COMPARISONS[name[:-1]](x, y) | unordered
        else:
            result = COMPARISONS[name](x, y) & ~unordered
    else:
        result = COMPARISONS[name](x, y)
    return BITWISE[parts[2]](result, operands[2]) if len(parts) == 4 else result


def _shifted_left(kind: str, bits: Bits, by: Bits) -> Bits:
    size = bits.dtype.itemsize * 8
    return np.where(by < size, bits << np.minimum(by, size - 1).astype(bits.dtype), 0).astype(
        bits.dtype
    )


def _shifted_right(kind: str, bits: Bits, by: Bits) -> Bits:
    size = bits.dtype.itemsize * 8
    least = np.minimum(by, size - 1).astype(bits.dtype)
    if kind[0] == "s":
        numbers = bits.view(SIGNED[size])
        return bits_of(numbers >> least.view(numbers.dtype))
    return np.where(by < size, bits >> least, 0).astype(bits.dtype)


def _bit_field(kind: str, bits: Bits, start: Bits, length: Bits) -> Bits:
    """Extracts bits; the last one is the sign of a signed type. The field lies inside the word."""
    size = bits.dtype.itemsize * 8
    start, length = start & 255, length & 255
    assert (length > 0).all()
    assert (start + length <= size).all()
    at_top = _shifted_left(kind, bits, (size - start - length).astype(np.uint32))
    return _shifted_right(kind, at_top, (size - length).astype(np.uint32))


SHIFTS = {"shl": _shifted_left, "shr": _shifted_right, "bfe": _bit_field}


def _permuted_bytes(low: Bits, high: Bits, selector: Bits) -> Bits:
    both = np.stack([low, high], 1).view(np.uint8)
    chosen = (selector[:, None] >> np.arange(0, 16, 4, dtype=np.uint32)) & 15
    assert (chosen < 8).all(), "prmt with replicated signs"
    return np.take_along_axis(both, chosen.astype(np.int64), 1).copy().view(np.uint32)[:, 0]

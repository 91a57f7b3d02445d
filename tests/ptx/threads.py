"""The registers of the threads of a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptx.arithmetic import UNSIGNED, Bits, width
from ptx.memory import Clock, Global, Shared
from ptx.parse import Address, Instruction, Program

LANES = 32
# What registers hold before they are written: NaN or -1.
UNDEFINED = 0xFF


class Threads:
    """Values of the operands of instructions, one for each thread.

    Args:
        program: The kernel.
        parameters: Values of the parameters by name, one number each.
        shared: Shared memory of the block.
        tensors: Global memory of the launch.
        clock: Of the launch.
        place: Coordinates of the block in the grid.
    """

    def __init__(
        self,
        program: Program,
        parameters: dict[str, Bits],
        shared: Shared,
        tensors: Global,
        clock: Clock,
        place: tuple[int, int, int],
    ) -> None:
        self.program, self.parameters, self.clock = program, parameters, clock
        self.shared, self.tensors = shared, tensors
        threads = np.arange(program.threads, dtype=np.uint32)
        self.warps = (threads // LANES).astype(np.int32)
        self._all = np.ones(program.threads, bool)
        self._registers: dict[str, Bits] = {"%tid.x": threads}
        for axis, coordinate in zip("xyz", place, strict=True):
            self._registers[f"%ctaid.{axis}"] = np.full_like(threads, coordinate)

    def value(self, name: str, kind: str) -> Bits:
        """Returns the value of a register, a symbol or a number, ``[threads]``."""
        if name.startswith("!"):
            return ~self.value(name[1:], kind)
        key = name if name.startswith("%") else f"{kind} {name}"
        if key not in self._registers:
            self._registers[key] = self._undefined(key) if key == name else self._number(name, kind)
        return self._registers[key]

    def _undefined(self, name: str) -> Bits:
        dtype = self.program.register_type(name)
        size = np.dtype(dtype).itemsize
        return np.full(self.program.threads * size, UNDEFINED, np.uint8).view(dtype)

    def _number(self, name: str, kind: str) -> Bits:
        if kind == "pred":
            return np.full(self.program.threads, int(name) != 0)
        if name == "global_smem":  # the address of shared memory
            number = 0
        elif name[:2].lower() in ("0f", "0d"):  # the bits of a float
            number = int(name[2:], 16)
        else:
            number = int(name.removesuffix("U"), 0)
        size = max(width(kind), 16)
        return np.full(self.program.threads, number & (2**size - 1), UNSIGNED[size])

    def active(self, instruction: Instruction) -> NDArray:
        """Returns which threads execute an instruction, ``[threads]``."""
        if instruction.predicate is None:
            return self._all
        predicate = self.value(instruction.predicate, "pred")
        return ~predicate if instruction.negated else predicate

    def assign(self, target: str | list[str], values: list[Bits], instruction: Instruction) -> None:
        """Writes registers of the active threads; ``_`` drops a value."""
        names = [target] if isinstance(target, str) else target
        for name, bits in zip(names, values, strict=True):
            if name == "_":
                continue
            if instruction.predicate is not None:
                bits = np.where(self.active(instruction), bits, self.value(name, ""))
            self._registers[name] = bits

    def address(self, address: Address, kind: str) -> Bits:
        """Returns an address of each thread, ``[threads]``."""
        base = self.value(address.base, kind)
        return base + base.dtype.type(address.offset) if address.offset else base

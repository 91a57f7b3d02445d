"""The threads of a block, in lockstep."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx import warps
from ptx.arithmetic import UNSIGNED, Bits, compute, width
from ptx.conversions import converted, joined, split, widened
from ptx.memory import KernelError
from ptx.parse import Address, Instruction
from ptx.threads import Threads


class Block(Threads):
    """Runs one block of a launch."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Copies that were started since the last commit, and those of committed groups.
        self._started: list[tuple[NDArray, Bits, NDArray]] = []
        self._groups: list[list[tuple[NDArray, Bits, NDArray]]] = []

    def run(self) -> None:
        """Runs the block to its end."""
        with np.errstate(all="ignore"):  # inactive threads compute too
            self._run(self.program.instructions)

    def _run(self, instructions: list[Instruction]) -> None:
        at = 0
        while at < len(instructions):
            instruction = instructions[at]
            try:
                jump = self._execute(instruction)
            except KernelError as fault:
                where = f"{self.program.name}, line {instruction.line}, `{instruction.text}`"
                raise type(fault)(f"{where}: {fault}") from None
            at = at + 1 if jump is None else jump

    def _execute(self, instruction: Instruction) -> int | None:
        """Executes an instruction; returns the index of the next one if it is not adjacent."""
        base = instruction.parts[0]
        if base in ("bra", "ret"):
            if not self._jumps(instruction):
                return None
            if base == "ret":
                return len(self.program.instructions)
            return self.program.labels[str(instruction.operands[0])]
        if special := SPECIAL.get(base):
            special(self, instruction)
            return None
        kind = instruction.parts[-1]
        target, *sources = instruction.operands
        if base == "mov":
            result = self._moved(instruction)
        elif base == "cvt":
            register = self.program.register_type(target)
            result = [converted(instruction.parts, self.value(sources[0], kind), register)]
        else:
            result = [compute(instruction.parts, self._operands(instruction.parts, sources))]
        self.assign(target, result, instruction)
        return None

    def _operands(self, parts: tuple[str, ...], sources: list[str]) -> list[Bits]:
        kinds = _kinds_of_operands(parts, len(sources))
        return [self.value(name, kind) for name, kind in zip(sources, kinds, strict=True)]

    def _jumps(self, instruction: Instruction) -> bool:
        active = self.active(instruction)
        if active.any() and not active.all():
            raise KernelError("threads of a block take different branches")
        return bool(active.all())

    def _moved(self, instruction: Instruction) -> list[Bits]:
        """Returns a copy, a register joined from parts, or the parts of one."""
        target, source = instruction.operands
        kind = instruction.parts[-1]
        if isinstance(target, list):
            return split(self.value(source, kind), len(target))
        if isinstance(source, list):
            part = f"b{width(kind) // len(source)}"
            values = [self.value(name, part) for name in source]
            return [joined(values, self.program.register_type(target))]
        return [self.value(source, kind)]

    # Memory

    def _load(self, instruction: Instruction) -> None:
        target, address = instruction.operands
        names = [target] if isinstance(target, str) else target
        registers = [self.program.register_type(name) for name in names if name != "_"]
        kind, size = instruction.parts[-1], width(instruction.parts[-1]) // 8
        if "param" in instruction.parts:
            number = self.parameters[address.base].view(UNSIGNED[8 * size])[:1]
            columns = np.repeat(number, self.program.threads)[:, None]
        else:
            active = self.active(instruction)
            columns = np.zeros((self.program.threads, len(names)), UNSIGNED[8 * size])
            data = self._read(instruction.parts, address, size * len(names), active)
            columns[active] = np.ascontiguousarray(data).view(UNSIGNED[8 * size])
        values = [np.ascontiguousarray(column) for column in columns.T]
        signed = kind[0] == "s"
        found = [widened(bits, registers[0], signed=signed) for bits in values]
        self.assign(target, found, instruction)

    def _read(
        self, parts: tuple[str, ...], address: Address, size: int, active: NDArray
    ) -> NDArray:
        if "shared" in parts:
            at = self.address(address, "b32")[active].astype(np.int64)
            return self.shared.load(at, size, self.warps[active])
        return self.tensors.load(self.address(address, "b64")[active], size, self.warps[active])

    def _store(self, instruction: Instruction) -> None:
        address, source = instruction.operands
        names = [source] if isinstance(source, str) else source
        kind = instruction.parts[-1]
        active = self.active(instruction)
        values = [self.value(name, kind).astype(UNSIGNED[width(kind)]) for name in names]
        data = np.stack(values, 1)[active].view(np.uint8)
        if "shared" in instruction.parts:
            at = self.address(address, "b32")[active].astype(np.int64)
            self.shared.store(at, data, self.warps[active])
        else:
            self.tensors.store(self.address(address, "b64")[active], data, self.warps[active])

    def _add_atomically(self, instruction: Instruction) -> None:
        assert instruction.parts[-2] == "add", instruction.text
        _, address, source = instruction.operands  # the old value is not used
        active = self.active(instruction)
        values = self.value(source, instruction.parts[-1])[active]
        self.tensors.add(self.address(address, "b64")[active], values)

    # Asynchronous copies

    def _copy(self, instruction: Instruction) -> None:
        step = instruction.parts[2]
        if step == "commit_group":
            self._groups.append(self._started)
            self._started = []
        elif step == "wait_group":
            while len(self._groups) > int(instruction.operands[0], 0):
                for at, data, owners in self._groups.pop(0):
                    self.shared.store(at, data, owners)
        else:
            self._start_copy(instruction)

    def _start_copy(self, instruction: Instruction) -> None:
        to, source, size = instruction.operands[:3]
        size, active = int(size, 0), self.active(instruction)
        data = np.zeros((self.program.threads, size), np.uint8)
        # With a source size of 0, the copy writes zeros.
        filled = active
        if len(instruction.operands) == 4:
            filled = active & (self.value(instruction.operands[3], "b32") > 0)
        data[filled] = self._read((), source, size, filled)
        at = self.address(to, "b32")[active].astype(np.int64)
        self.shared.start_copy(at, size, self.warps[active])
        self._started.append((at, data[active], self.warps[active]))

    # Barriers

    def _wait_for_all(self, instruction: Instruction) -> None:
        assert instruction.parts == ("bar", "sync"), f"not a barrier of blocks: {instruction.text}"
        assert len(instruction.operands) == 1, f"a barrier of some warps: {instruction.text}"
        self.clock.epoch += 1

    def _fence(self, instruction: Instruction) -> None:
        if "proxy" in instruction.parts:
            self.shared.unfenced[:] = False


@cache
def _kinds_of_operands(parts: tuple[str, ...], count: int) -> list[str]:
    base, kind = parts[0], parts[-1]
    kinds = [kind] * count
    if base in ("shl", "shr", "bfe"):
        kinds[1:] = ["b32"] * (count - 1)
    elif base == "selp" or (base == "setp" and len(parts) == 4):
        kinds[2] = "pred"
    elif base == "mad" and parts[1] == "wide":
        kinds[2] = f"b{2 * width(kind)}"
    return kinds


SPECIAL: dict[str, Callable[[Block, Instruction], None]] = {
    "ld": Block._load,
    "st": Block._store,
    "atom": Block._add_atomically,
    "cp": Block._copy,
    "bar": Block._wait_for_all,
    "fence": Block._fence,
    "shfl": warps.shuffle,
    "redux": warps.reduce,
    "ldmatrix": warps.load_matrices,
    "stmatrix": warps.store_matrices,
    "mma": warps.multiply,
    "wgmma": warps.multiply_in_groups,
}

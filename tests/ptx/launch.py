"""Compiles a Triton kernel for the arguments of a launch, and runs its grid on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ptx.arithmetic import UNSIGNED, Bits
from ptx.block import Block
from ptx.memory import Clock, Global, Shared
from ptx.parse import Program, parse

POINTERS = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
OPTIONS = ("num_warps", "num_stages", "maxnreg")


class Emulator:
    """Launches kernels as compiled for an architecture; replaces ``arithmetic.launch``.

    Args:
        architecture: Compute capability times ten.
        edit: Changes the PTX before it runs.

    Attributes:
        launched: Names of the kernels that were launched.
    """

    def __init__(self, architecture: int, edit: Callable[[str], str] = str) -> None:
        self.launched: set[str] = set()
        self.architecture, self._edit = architecture, edit
        self._compiled: dict[Any, tuple[Program, int]] = {}

    def launch(self, kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
        """Compiles a kernel for arguments on the CPU, as Triton does, and runs it on them."""
        self.launched.add(kernel.__name__)
        options = {name: constants.pop(name) for name in OPTIONS if name in constants}
        options["enable_fp_fusion"] = True  # as the replaced function does
        named = dict(zip(kernel.arg_names, arguments, strict=False)) | constants
        types = {name: self._type(kernel, name, value, constants) for name, value in named.items()}
        fixed = {name: value for name, value in named.items() if types[name] == "constexpr"}
        program, shared = self._program(kernel, named, types, fixed, options)
        run(program, grid, [value for name, value in named.items() if name not in fixed], shared)

    def _type(self, kernel: Any, name: str, value: Any, constants: dict[str, Any]) -> str:
        """Returns the type for which Triton specializes a kernel."""
        if name in constants or value is None:
            return "constexpr"
        if isinstance(value, Tensor):
            return POINTERS[value.dtype]
        if isinstance(value, float):
            return "fp32"
        if value == 1 and name not in kernel.do_not_specialize:
            return "constexpr"
        return "i32" if -(2**31) <= value < 2**31 else "i64"

    def _program(
        self,
        kernel: Any,
        named: dict[str, Any],
        types: dict[str, str],
        fixed: dict[str, Any],
        options: dict[str, Any],
    ) -> tuple[Program, int]:
        """Returns the compiled kernel and its bytes of shared memory."""
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        multiples = tuple(
            position
            for position, (name, value) in enumerate(named.items())
            if name not in fixed and _is_multiple_of_16(value, name in kernel.do_not_specialize)
        )
        key = kernel, *types.items(), *fixed.items(), multiples, *options.items()
        if key not in self._compiled:
            made = triton.compile(
                ASTSource(
                    kernel, types, fixed, {(at,): [["tt.divisibility", 16]] for at in multiples}
                ),
                target=GPUTarget("cuda", self.architecture, 32),
                options=options,
            )
            self._compiled[key] = parse(self._edit(made.asm["ptx"])), made.metadata.shared
        return self._compiled[key]


def run(program: Program, grid: tuple[int, ...], arguments: list[Any], shared: int) -> None:
    """Runs all blocks of a launch, one after the other.

    Args:
        program: The kernel.
        grid: Number of blocks along each axis.
        arguments: Tensors and numbers, in the order of the kernel's first parameters. Triton
            appends addresses of scratch memory, which these kernels do not use.
        shared: Bytes of shared memory of a block.
    """
    values = list(map(_bits, arguments))
    values += [np.zeros(1, np.uint64)] * (len(program.parameters) - len(values))
    parameters = dict(zip(program.parameters, values, strict=True))
    extents = [_extent(value) for value in arguments if isinstance(value, Tensor)]
    clock = Clock()
    memory = Global(extents, program.smallest_access("global"), clock)
    columns, rows, layers = (*grid, 1, 1)[:3]
    for place in np.ndindex(layers, rows, columns):
        clock.epoch, clock.block = clock.epoch + 1, clock.block + 1
        room = Shared(shared, program.smallest_access("shared"), clock)
        Block(program, parameters, room, memory, clock, place[::-1]).run()


def _is_multiple_of_16(value: Any, not_specialized: bool) -> bool:
    if isinstance(value, Tensor):
        return value.data_ptr() % 16 == 0
    return isinstance(value, int) and value % 16 == 0 and not not_specialized


def _bits(value: Any) -> Bits:
    if isinstance(value, Tensor):
        return np.array([value.data_ptr()], np.uint64)
    if isinstance(value, float):
        return np.array([value], np.float32).view(np.uint32)
    return np.array([value]).astype(UNSIGNED[32 if -(2**31) <= value < 2**31 else 64])


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Returns the first address and the number of bytes from the first to the last entry."""
    assert tensor.device.type == "cpu"
    if not tensor.numel():
        return tensor.data_ptr(), 0
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    entries = 1 + sum((size - 1) * stride for size, stride in steps)
    return tensor.data_ptr(), entries * tensor.element_size()

"""Instructions by which the threads of a warp exchange data or multiply matrices together."""

from __future__ import annotations

import numpy as np

from ptx import tensor_cores
from ptx.arithmetic import bits_of, typed
from ptx.parse import Instruction
from ptx.threads import LANES, Threads


def shuffle(threads: Threads, instruction: Instruction) -> None:
    """Executes ``shfl``: lanes of a warp read registers of each other."""
    mode = instruction.parts[2]
    target, source, by, clamp, _ = instruction.operands
    assert int(clamp, 0) == (0 if mode == "up" else LANES - 1), instruction.text
    lane = np.arange(LANES)
    by = threads.value(by, "b32").reshape(-1, LANES).astype(np.int64)
    origin = {"bfly": lane ^ by, "up": lane - by, "down": lane + by, "idx": by % LANES}[mode]
    origin = np.where((origin >= 0) & (origin < LANES), origin, lane)
    values = threads.value(source, "b32").reshape(-1, LANES)
    threads.assign(target, [np.take_along_axis(values, origin, 1).reshape(-1)], instruction)


def reduce(threads: Threads, instruction: Instruction) -> None:
    """Executes ``redux``: all lanes receive the result over their warp."""
    name, kind = instruction.parts[2:]
    values = typed(kind, threads.value(instruction.operands[1], kind)).reshape(-1, LANES)
    result = getattr(np, {"add": "add", "max": "maximum", "min": "minimum"}[name]).reduce(
        values, 1, dtype=values.dtype
    )
    threads.assign(instruction.operands[0], [bits_of(np.repeat(result, LANES))], instruction)


def load_matrices(threads: Threads, instruction: Instruction) -> None:
    """Executes ``ldmatrix``: each lane names a row of 16 bytes."""
    target, address = instruction.operands
    at = threads.address(address, "b32").reshape(-1, LANES).astype(np.int64)
    found = []
    for matrix in range(len(target)):
        rows = at[:, 8 * matrix : 8 * matrix + 8]
        warps = np.repeat(np.arange(len(rows), dtype=np.int32), 8)
        found.append(threads.shared.load(rows.reshape(-1), 16, warps).reshape(-1, 8, 16))
    transposed = "trans" in instruction.parts
    threads.assign(target, tensor_cores.matrices(found, transposed=transposed), instruction)


def store_matrices(threads: Threads, instruction: Instruction) -> None:
    """Executes ``stmatrix``."""
    address, source = instruction.operands
    at = threads.address(address, "b32").reshape(-1, LANES).astype(np.int64)
    for matrix, name in enumerate(source):
        rows = at[:, 8 * matrix : 8 * matrix + 8]
        warps = np.repeat(np.arange(len(rows), dtype=np.int32), 8)
        data = tensor_cores.rows_of_matrix(
            threads.value(name, "b32"), transposed="trans" in instruction.parts
        )
        threads.shared.store(rows.reshape(-1), data.reshape(-1, 16), warps)


def multiply(threads: Threads, instruction: Instruction) -> None:
    """Executes ``mma``."""
    kind = "b64" if "f64" in instruction.parts else "b32"
    target, *sources = instruction.operands
    factors = [[threads.value(name, kind) for name in names] for names in sources]
    threads.assign(target, tensor_cores.product(instruction.parts, *factors), instruction)


def multiply_in_groups(threads: Threads, instruction: Instruction) -> None:
    """Executes ``wgmma``, at once: what it reads stays reserved until it is waited for."""
    step = instruction.parts[1]
    if step == "wait_group":
        assert instruction.operands == ("0",), instruction.text
        threads.shared.pending[:] = False
    if step != "mma_async":
        return
    target, left, descriptor, accumulate = instruction.operands[:4]
    assert instruction.parts[4:] == ("m64n64k8", "f32", "tf32", "tf32"), instruction.text
    assert isinstance(left, list), "the left matrix in shared memory"
    descriptors = threads.value(descriptor, "b64").reshape(-1, 4 * LANES)
    assert (descriptors == descriptors[:, :1]).all(), "warps of a group differ"
    right = [
        threads.shared.described(int(one), columns=64, warp=4 * group)
        for group, one in enumerate(descriptors[:, 0])
    ]
    result = tensor_cores.product_of_groups(
        [threads.value(name, "b32") for name in target],
        [threads.value(name, "b32") for name in left],
        np.stack(right),
        threads.value(accumulate, "pred")[:: 4 * LANES],
    )
    threads.assign(target, result, instruction)

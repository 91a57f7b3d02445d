"""Compiles the Triton kernels without a GPU and reports their registers and shared memory."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from multiprocessing import get_context
from typing import Any

import torch

ARCHITECTURES = (80, 90)
# Bytes of spills that are accepted, by kernel and architecture. The tile of the update for sm_90 is
# the fastest of eleven on an H100 although it spills.
MOST_SPILLED = {("update_kernel", 90): 2048}
# Arguments that are not multiples of 16, for which Triton generates different code.
CLASSES, WIDTHS = ("c", "a_stride", "logits_stride"), ("h", "h_stride", "penultimate_stride")
ODD = {"": (), ", odd classes": CLASSES, ", odd sizes": (*CLASSES, *WIDTHS, "b")}
# Shapes that select different code: classes, width, whether binary, dtype of the inputs.
EMBEDDINGS = [
    (10, 256, False, "fp32"),
    (1, 256, True, "fp32"),
    (1000, 2048, False, "bf16"),
    (1000, 2048, True, "fp16"),
    (16384, 2048, False, "bf16"),
    (128000, 2048, False, "bf16"),
]
LARGEST_BLOCK = 2048
WITHOUT_CLASSES = [
    "accept_kernel",
    "gain_kernel",
    "farthest_kernel",
    "weight_kernel",
    "draw_kernel",
    "report_kernel",
]
DOUBLES = [
    "min_sq_dist",
    "sq_norm",
    "a_norm",
    "center_sq_norm",
    "center_a_norm",
    "scale",
    "sq_dist",
    "limit",
    "stale",
    "gains",
    "cutoff",
    "mass",
    "largest",
    "unit",
    "uniforms",
    "values",
    "room",
    "unit_before",
    "unit_after",
    "largest_before",
    "largest_after",
]
NOT_PRUNED = dict.fromkeys(("number", "low", "high", "norms"))
INTEGERS = [
    "positions",
    "starts",
    "number",
    "chosen",
    "slots",
    "label",
    "order",
    "weights",
    "cumulative",
    "drawn",
    "taken",
    "before",
    "after",
    "multiplied",
    "doubtful_tiles",
]
TYPES = {
    **dict.fromkeys(("a", "h_", "center_a", "center_h", "grad"), "*fp32"),
    **dict.fromkeys(("low", "high", "norms"), "*fp32"),
    **dict.fromkeys(DOUBLES, "*fp64"),
    **dict.fromkeys(("conflicts",), "*i32"),
    **dict.fromkeys(INTEGERS, "*i64"),
    **dict.fromkeys(("class_error", "error"), "fp32"),
}


@dataclass(frozen=True)
class Case:
    """A kernel to compile.

    Attributes:
        name: The kernel and the options that select its code.
        module: Module in ``kernels.triton_tiled``.
        kernel: Name of the kernel function.
        constants: Values of its ``constexpr`` arguments.
        warps: Warps per program.
        options: Further compiler options.
        types: Types of arguments that can have several types.
        odd: Key of `ODD`; all other sizes and all addresses are multiples of 16.
    """

    name: str
    module: str
    kernel: str
    constants: dict[str, Any]
    warps: int
    options: dict[str, int] = field(default_factory=dict)
    types: tuple[tuple[str, str], ...] = ()
    odd: str = ""

    @property
    def has_classes(self) -> bool:
        """Whether the number of classes is an argument of the kernel."""
        return self.kernel not in WITHOUT_CLASSES


@dataclass(frozen=True)
class Compiled:
    """One kernel for one architecture.

    Attributes:
        name: The kernel and the options that select its code.
        architecture: Compute capability times ten.
        registers: Registers per thread.
        shared: Bytes of shared memory per program.
        spilled: Bytes of register spills, stores and loads.
        most_spilled: Bytes that are accepted.
    """

    name: str
    architecture: int
    registers: int
    shared: int
    spilled: int
    most_spilled: int

    def line(self) -> str:
        """Formats the kernel as a row of a Markdown table."""
        return (
            f"| {self.name} | sm_{self.architecture} | {self.registers} | {self.shared:,} "
            f"| {self.spilled} |"
        )


def cases(architecture: int) -> Iterator[Case]:
    """Yields every kernel as launched on an architecture, in all variants with different code."""
    from lightning_badge.kernels.triton_tiled import (
        accept,
        arithmetic,
        centers,
        draw,
        embed,
        update,
    )

    for c, h, binary, dtype in EMBEDDINGS:
        classes, rows, width, warps = embed.logit_grad_tile(c, h, binary)
        constants = {"ROWS": rows, "CLASSES": classes, "WIDTH": width, "BINARY": binary}
        yield Case(
            f"embedding, {c} classes, {dtype}{', binary' if binary else ''}",
            "embed",
            "logit_grad_kernel",
            {**constants, "WHOLE": c <= classes},
            warps,
            {"maxnreg": arithmetic.most_registers(warps)},
            types=(("logits", f"*{dtype}"), ("penultimate", f"*{dtype}")),
        )
    tile = update.update_tile(architecture)
    sides = {"ROWS": tile.rows, "CENTERS": tile.centers}
    for prune, signed in ((True, True), (True, False), (False, True)):
        yield Case(
            f"update, {'pruned' if prune else 'dense'}{', signed' if prune and signed else ''}",
            "update",
            "update_kernel",
            {
                **sides,
                "TILES": update.TILES,
                "DEPTH": tile.depth,
                "CLASSES": arithmetic.CLASSES,
                "SIGNED": signed,
                "PRUNE": prune,
                "PRECISION": update.input_precision(torch.device("cuda")),
                # k-center does not prune; it starts each row at the first center not yet applied.
                **({"starts": None} if prune else NOT_PRUNED),
            },
            tile.warps,
            {"num_stages": tile.stages, "maxnreg": arithmetic.most_registers(tile.warps)},
        )
    exact = {"SIDE": arithmetic.EXACT_SIDE, "DEPTH": arithmetic.EXACT_DEPTH}
    warps = arithmetic.EXACT_WARPS
    yield Case("update in float64", "settle", "settle_kernel", {**exact, **sides}, warps)
    yield Case("distances in a block", "accept", "pairwise_kernel", exact, warps)
    stride, block = {"STRIDE": accept.STRIDE}, {"BLOCK": LARGEST_BLOCK}
    bits = {**stride, "WORDS": accept.WORDS, "BITS": arithmetic.EXACT_SIDE}
    yield Case("accepted candidates", "accept", "accept_kernel", bits, accept.WARPS)
    compared = {"SIDE": accept.SIDE, "OTHERS": accept.OTHERS}
    yield Case("gains of a block", "accept", "gain_kernel", compared, accept.WARPS)
    yield Case("farthest picks", "accept", "farthest_kernel", block, accept.WARPS)
    yield Case("masses", "draw", "weight_kernel", {"ROWS": draw.ROWS}, draw.WARPS)
    yield Case("report of a block", "draw", "report_kernel", {"ROWS": draw.ROWS}, draw.WARPS)
    yield Case("draws", "draw", "draw_kernel", {"CANDIDATES": draw.CANDIDATES}, 1)
    copied = {"SIDE": centers.SIDE, "OTHERS": centers.OTHERS, "WIDTH": centers.WIDTH}
    yield Case("new centers", "centers", "take_kernel", copied, centers.WARPS)
    bounded = {"CENTERS": tile.centers, "CLASSES": arithmetic.CLASSES}
    yield Case("bounds of centers", "centers", "bounds_kernel", bounded, centers.WARPS)


def compiled(case: Case, architecture: int) -> Compiled:
    """Compiles a kernel to the machine code of an architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    module = import_module(f"lightning_badge.kernels.triton_tiled.{case.module}")
    kernel = getattr(module, case.kernel)
    known = TYPES | dict(case.types)
    types = {
        argument: "constexpr" if argument in case.constants else known.get(argument, "i32")
        for argument in kernel.arg_names
    }
    attributes = {
        (position,): [["tt.divisibility", 16]]
        for position, (argument, kind) in enumerate(types.items())
        if kind.startswith("*")
        or (kind == "i32" and argument not in (*kernel.do_not_specialize, *ODD[case.odd]))
    }
    made = triton.compile(
        ASTSource(kernel, types, case.constants, attributes),
        target=GPUTarget("cuda", architecture, 32),
        options={
            "num_warps": case.warps,
            "enable_fp_fusion": True,
            **case.options,
        },
    )
    registers, spilled = _registers(made.asm["ptx"], architecture)
    most = MOST_SPILLED.get((case.kernel, architecture), 0)
    name = case.name + case.odd
    return Compiled(name, architecture, registers, made.metadata.shared, spilled, most)


def _registers(ptx: str, architecture: int) -> tuple[int, int]:
    """Returns registers and spilled bytes reported by the assembler that Triton uses."""
    from triton.backends.nvidia.compiler import get_ptxas

    # Triton 3.5 has one assembler for all architectures.
    ptxas = (get_ptxas(architecture) if signature(get_ptxas).parameters else get_ptxas()).path
    name = f"sm_{architecture}{'a' if architecture >= 90 else ''}"
    done = subprocess.run(
        [ptxas, "-v", f"--gpu-name={name}", "/dev/stdin", "-o", "/dev/null"],
        input=ptx,
        capture_output=True,
        text=True,
        check=True,
    )
    registers = re.search(r"Used (\d+) registers", done.stderr)
    assert registers is not None, done.stderr
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", done.stderr)
    return int(registers[1]), sum(map(int, spills))


def compile_report(processes: int = 2) -> bool:
    """Prints a table of all kernels for all architectures; returns whether none spills too much."""
    print("| kernel | for | registers | shared memory, bytes | spilled bytes |")
    print("|---|---|---|---|---|")
    jobs = [
        (replace(case, odd=odd), architecture)
        for architecture in ARCHITECTURES
        for case in cases(architecture)
        for odd in (ODD if case.has_classes else ("", ", odd sizes"))
    ]
    spills = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for made in pool.map(compiled, *zip(*jobs, strict=True)):
            print(made.line(), flush=True)
            if made.spilled > made.most_spilled:
                spills.append(made)
    print(f"{len(jobs)} kernels compiled, {len(spills)} spill too much")
    return not spills

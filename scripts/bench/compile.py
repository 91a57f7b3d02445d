"""Compiles the Triton kernels for GPUs that need not be there, and says what they take of one."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

ARCHITECTURES = (80, 90)
# Shapes that choose other code: classes, width, whether binary, dtype of what comes in.
EMBEDDINGS = [
    (10, 256, False, "fp32"),
    (1, 256, True, "fp32"),
    (1000, 2048, False, "bf16"),
    (1000, 2048, True, "fp16"),
    (16384, 2048, False, "bf16"),
    (128000, 2048, False, "bf16"),
]
PRECISIONS = ("ieee", "tf32x3")
LARGEST_BLOCK = 2048
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
    "now",
    "cutoff",
]
TYPES = {
    **dict.fromkeys(("a", "h_", "center_a", "center_h", "grad"), "*fp32"),
    **dict.fromkeys(DOUBLES, "*fp64"),
    **dict.fromkeys(("doubtful_tiles", "conflicts", "accepted"), "*i8"),
    **dict.fromkeys(("multiplied",), "*i32"),
    **dict.fromkeys(("positions", "starts", "number", "chosen"), "*i64"),
    **dict.fromkeys(("class_error", "error"), "fp32"),
}


@dataclass(frozen=True)
class Case:
    """A kernel to be compiled.

    Attributes:
        name: The kernel and what chooses its code.
        kernel: Which one of ``kernels.triton_tiled``.
        constants: What it is specialised to.
        warps: Of a program.
        stages: Of its loops.
        types: Of arguments whose type is a choice.
        aligned: Whether all sizes are multiples of 16, as well as all addresses: Triton makes other
            code of them.
    """

    name: str
    kernel: str
    constants: dict[str, Any]
    warps: int
    stages: int = 3
    types: tuple[tuple[str, str], ...] = ()
    aligned: bool = True


@dataclass(frozen=True)
class Compiled:
    """One kernel for one architecture.

    Attributes:
        name: The kernel and what chose its code.
        architecture: Compute capability times ten.
        registers: Of each thread.
        shared: Bytes of shared memory of each program.
        spilled: Bytes that did not fit into the registers, stores and loads.
    """

    name: str
    architecture: int
    registers: int
    shared: int
    spilled: int

    def line(self) -> str:
        """Returns it as a row of a Markdown table."""
        return (
            f"| {self.name} | sm_{self.architecture} | {self.registers} | {self.shared:,} "
            f"| {self.spilled} |"
        )


def cases() -> Iterator[Case]:
    """Every kernel, with every choice of tuning."""
    from lightning_badge.kernels.triton_tiled import kernels as triton_tiled

    for c, h, binary, dtype in EMBEDDINGS:
        classes, rows, width, warps = triton_tiled.logit_grad_tile(c, h, binary)
        constants = {"ROWS": rows, "CLASSES": classes, "WIDTH": width, "BINARY": binary}
        yield Case(
            f"embedding, {c} classes, {dtype}{', binary' if binary else ''}",
            "logit_grad_kernel",
            {**constants, "WHOLE": c <= classes},
            warps,
            types=(("logits", f"*{dtype}"), ("penultimate", f"*{dtype}")),
        )
    tile = {"ROWS": triton_tiled.ROWS, "CENTERS": triton_tiled.CENTERS}
    for precision in PRECISIONS:
        for prune in (True, False):
            for config in triton_tiled.CONFIGS:
                kind = "pruned" if prune else "dense"
                yield Case(
                    f"update, {precision}, {kind}, {config.num_stages} stages",
                    "update_kernel",
                    {
                        **tile,
                        "DEPTH": triton_tiled.DEPTH,
                        "SIGNED": True,
                        "PRUNE": prune,
                        "PRECISION": precision,
                        # k-center does not prune, and starts each row where it stopped.
                        "starts" if prune else "number": None,
                    },
                    config.num_warps,
                    config.num_stages,
                )
    exact = {"SIDE": triton_tiled.EXACT, "DEPTH": triton_tiled.EXACT_DEPTH}
    yield Case("update in float64", "settle_kernel", {**exact, **tile}, triton_tiled.EXACT_WARPS)
    yield Case("distances in a block", "pairwise_kernel", exact, triton_tiled.EXACT_WARPS)
    stride = {"STRIDE": triton_tiled.STRIDE}
    yield Case("accept walk", "walk_kernel", stride, triton_tiled.WALK_WARPS)
    yield Case("gains of a block", "gain_kernel", stride, triton_tiled.WALK_WARPS)
    block = {"BLOCK": LARGEST_BLOCK}
    yield Case("farthest picks", "farthest_kernel", block, triton_tiled.WALK_WARPS)


def compiled(case: Case, architecture: int) -> Compiled:
    """Compiles a kernel as far as the machine code of an architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lightning_badge.kernels.triton_tiled import kernels as triton_tiled

    kernel = getattr(triton_tiled, case.kernel)
    kernel = getattr(kernel, "fn", kernel) if case.kernel == "update_kernel" else kernel
    known = TYPES | dict(case.types)
    signature = {
        argument: "constexpr" if argument in case.constants else known.get(argument, "i32")
        for argument in kernel.arg_names
    }
    attributes = {
        (position,): [["tt.divisibility", 16]]
        for position, (argument, kind) in enumerate(signature.items())
        if kind.startswith("*")
        or (kind == "i32" and case.aligned and argument not in kernel.do_not_specialize)
    }
    made = triton.compile(
        ASTSource(kernel, signature, case.constants, attributes),
        target=GPUTarget("cuda", architecture, 32),
        options={
            "num_warps": case.warps,
            "num_stages": case.stages,
            "enable_fp_fusion": True,
        },
    )
    registers, spilled = _registers(made.asm["ptx"], architecture)
    name = f"{case.name}{'' if case.aligned else ', odd sizes'}"
    return Compiled(name, architecture, registers, made.metadata.shared, spilled)


def _registers(ptx: str, architecture: int) -> tuple[int, int]:
    """Asks the assembler that Triton uses for registers and spilled bytes."""
    from triton.backends.nvidia.compiler import get_ptxas

    name = f"sm_{architecture}{'a' if architecture >= 90 else ''}"
    done = subprocess.run(
        [get_ptxas(architecture).path, "-v", f"--gpu-name={name}", "/dev/stdin", "-o", "/dev/null"],
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
    """Prints a table of all kernels for all architectures; returns whether none of them spills."""
    print("| kernel | for | registers | shared memory, bytes | spilled bytes |")
    print("|---|---|---|---|---|")
    jobs = [
        (replace(case, aligned=aligned), architecture)
        for architecture in ARCHITECTURES
        for case in cases()
        for aligned in (True, False)
    ]
    spills = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for made in pool.map(compiled, *zip(*jobs, strict=True)):
            print(made.line(), flush=True)
            if made.spilled:
                spills.append(made)
    print(f"{len(jobs)} kernels compiled, {len(spills)} of them spill registers")
    return not spills

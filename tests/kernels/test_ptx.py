"""The interpreter of PTX that `test_compiled_kernels` uses: results, and the errors it finds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from ptx import tensor_cores
from ptx.arithmetic import bits_of, compute
from ptx.conversions import converted
from ptx.launch import run
from ptx.memory import KernelError, RaceError
from ptx.parse import parse
from torch import Tensor

# Each of 64 threads copies an int32; the body decides how.
KERNEL = """
.visible .entry kernel(
    .param .u64 .ptr .global .align 1 kernel_param_0,
    .param .u64 .ptr .global .align 1 kernel_param_1
)
.reqntid 64
{{
    .reg .pred %p<9>;
    .reg .b32 %r<9>;
    .reg .b64 %rd<9>;
    ld.param.b64 %rd1, [kernel_param_0];
    ld.param.b64 %rd2, [kernel_param_1];
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 2;
    mad.wide.u32 %rd3, %r1, 4, %rd1;
    mad.wide.u32 %rd4, %r1, 4, %rd2;
    ld.global.b32 {{ %r3 }}, [ %rd3 + 0 ];
    xor.b32 %r4, %r2, 128;
    {body}
    ret;
}}
"""
SHARED = "st.shared.b32 [ %r2 + 0 ], %r3;"
OTHER = "ld.shared.b32 %r5, [ %r4 + 0 ]; st.global.b32 [ %rd4 + 0 ], { %r5 };"


def ran(body: str, source: Tensor | None = None, blocks: int = 1) -> list[int]:
    source = torch.arange(64, dtype=torch.int32) if source is None else source
    target = torch.zeros(64, dtype=torch.int32)
    run(parse(KERNEL.format(body=body)), (blocks,), [source, target], 256)
    return target.tolist()


class TestResults:
    def test_a_barrier_orders_the_accesses_of_two_warps(self) -> None:
        swapped = [*range(32, 64), *range(32)]
        assert ran(f"{SHARED} bar.sync 0; {OTHER}") == swapped

    def test_an_asynchronous_copy_arrives_when_it_is_waited_for(self) -> None:
        copy = "cp.async.ca.shared.global [ %r2 + 0 ], [ %rd3 + 0 ], 0x4; cp.async.commit_group;"
        wait = "cp.async.wait_group 0; bar.sync 0;"
        assert ran(f"{copy} {wait} {OTHER}") == [*range(32, 64), *range(32)]
        with pytest.raises(KernelError, match="never written"):
            ran(f"{copy} cp.async.wait_group 1; bar.sync 0; {OTHER}")

    def test_loops_end_when_all_threads_leave(self) -> None:
        loop = "mov.b32 %r5, 0; $L: add.s32 %r5, %r5, 3; setp.lt.s32 %p1, %r5, 10; @%p1 bra $L;"
        assert ran(f"{loop} st.global.b32 [ %rd4 + 0 ], {{ %r5 }};") == [12] * 64

    def test_predicated_threads_keep_their_values(self) -> None:
        body = "setp.lt.u32 %p1, %r1, 7; @!%p1 mov.b32 %r3, -1; @%p1 st.global.b32 [%rd4], %r3;"
        assert ran(body) == [*range(7), *[0] * 57]

    @pytest.mark.parametrize(
        ("shuffle", "wanted"),
        [
            ("bfly.b32 %r5, %r3, 1", [i ^ 1 for i in range(64)]),
            ("up.b32 %r5, %r3, 1, 0", [i - (i % 32 > 0) for i in range(64)]),
            ("idx.b32 %r5, %r3, 3", [i // 32 * 32 + 3 for i in range(64)]),
        ],
    )
    def test_lanes_exchange_values(self, shuffle: str, wanted: list[int]) -> None:
        clamp = "" if shuffle.startswith("up") else ", 31"
        body = f"shfl.sync.{shuffle}{clamp}, -1; st.global.b32 [ %rd4 + 0 ], {{ %r5 }};"
        assert ran(body) == wanted


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (f"{SHARED} {OTHER}", "reads what another warp wrote since the last barrier"),
            (
                f"{SHARED} bar.sync 0; {OTHER} st.shared.b32 [ %r2 + 0 ], %r1;",
                "writes what another warp read since the last barrier",
            ),
            (f"{SHARED} st.shared.b32 [ %r4 + 0 ], %r3;", "writes what another warp wrote"),
            ("st.global.b32 [ %rd2 + 0 ], %r3;", "one instruction writes two values"),
        ],
    )
    def test_races_of_warps(self, body: str, problem: str) -> None:
        with pytest.raises(RaceError, match=problem):
            ran(body)

    def test_races_of_blocks(self) -> None:
        body = "mov.u32 %r5, %ctaid.x; add.s32 %r5, %r5, 1; st.global.b32 [ %rd4 + 0 ], %r5;"
        assert ran(body) == [1] * 64
        with pytest.raises(RaceError, match="writes what another block wrote"):
            ran(body, blocks=2)

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (OTHER, "reads shared memory that was never written"),
            ("ld.global.b32 %r5, [ %rd3 + 4 ];", "outside the tensors"),
            ("st.global.b32 [ %rd4 + 4 ], %r3;", "outside the tensors"),
            (
                "setp.eq.u32 %p1, %r1, 0; @%p1 ld.global.b32 %r5, [ %rd3 + 2 ];",
                "misaligned access of 4 bytes",
            ),
            ("ld.shared.b32 %r5, [ %r2 + 4 ];", "outside the 256 bytes of shared memory"),
            ("setp.lt.u32 %p1, %r1, 7; @%p1 bra $L; $L: ret;", "take different branches"),
        ],
    )
    def test_faults(self, body: str, problem: str) -> None:
        with pytest.raises(KernelError, match=problem):
            ran(body)

    def test_messages_name_the_kernel_and_the_instruction(self) -> None:
        message = "kernel, line 0, `ld.shared.b32 %r5, [ %r4 + 0 ]`: reads"
        with pytest.raises(KernelError, match=re.escape(message)):
            ran(OTHER)


def test_text_that_is_no_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a statement"):
        parse(KERNEL.format(body=";"))


def test_products_of_matrices_equal_numpy() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.integers(-4, 5, (16, 8)), generator.integers(-4, 5, (8, 8))
    c = generator.integers(-4, 5, (16, 8))
    # Lane 4 r + q holds the entries (r, q) of factors, and (r, 2 q) and (r, 2 q + 1) of sums.
    left = [a[:8, :4], a[8:, :4], a[:8, 4:], a[8:, 4:]]
    right = [b[:4].T, b[4:].T]
    sums = [c[:8, ::2], c[:8, 1::2], c[8:, ::2], c[8:, 1::2]]
    registers = [
        [bits_of(part.astype(np.float32).reshape(-1)) for part in parts]
        for parts in (left, right, sums)
    ]
    opcode = ("mma", "sync", "aligned", "m16n8k8", "row", "col", "f32", "tf32", "tf32", "f32")
    found = [bits.view(np.float32) for bits in tensor_cores.product(opcode, *registers)]
    wanted = c + a @ b
    for bits, part in zip(found, (wanted[:8], wanted[:8], wanted[8:], wanted[8:]), strict=True):
        assert np.isin(bits, part).all()
    np.testing.assert_array_equal(found[1].reshape(8, 4), wanted[:8, 1::2])
    np.testing.assert_array_equal(found[2].reshape(8, 4), wanted[8:, ::2])


def test_matrices_survive_a_round_trip_through_shared_memory() -> None:
    register = np.random.default_rng(0).integers(0, 2**32, 64, dtype=np.uint32)
    for transposed in (True, False):
        rows = tensor_cores.rows_of_matrix(register, transposed=transposed)
        found = tensor_cores.matrices([rows], transposed=transposed)
        np.testing.assert_array_equal(found[0], register)


def test_tensor_cores_round_toward_zero() -> None:
    ends = np.array([1.0 + 2.0**-24, -1.0 - 1.5 * 2.0**-23, 0.1])
    wanted = [1.0, -1.0 - 2.0**-23, np.nextafter(np.float32(0.1), np.float32(0))]
    np.testing.assert_array_equal(tensor_cores.toward_zero(ends), np.float32(wanted))


@pytest.mark.parametrize(
    ("opcode", "operands", "wanted"),
    [
        ("setp.lt.f32", [np.float32(np.nan), np.float32(1)], False),
        ("setp.ltu.f32", [np.float32(np.nan), np.float32(1)], True),
        ("setp.num.f32", [np.float32(np.nan), np.float32(1)], False),
        ("max.f32", [np.float32(np.nan), np.float32(1)], np.float32(1)),
        ("shr.s32", [np.int32(-8), np.uint32(40)], np.int32(-1)),
        ("shr.u32", [np.int32(-8), np.uint32(40)], np.int32(0)),
        ("bfe.s32", [np.int32(0b1100), np.uint32(2), np.uint32(2)], np.int32(-1)),
        ("bfe.u32", [np.int32(0b1100), np.uint32(2), np.uint32(2)], np.int32(3)),
        ("prmt.b32", [np.uint32(0x33221100), np.uint32(0x77665544), np.uint32(0x5410)], 0x55441100),
        ("mul.wide.s32", [np.int32(-3), np.int32(2**30)], np.int64(-3 * 2**30)),
        ("fma.rn.f32", [np.float32(1 + 2**-12), np.float32(1 - 2**-12), np.float32(-1)], -(2**-24)),
    ],
)
def test_arithmetic(opcode: str, operands: list, wanted: object) -> None:
    bits = [bits_of(np.array([operand])) for operand in operands]
    found = compute(tuple(opcode.split(".")), bits)
    wanted = np.array([wanted])
    if opcode.endswith("f32") and not opcode.startswith("setp"):
        wanted = wanted.astype(np.float32)
    elif opcode.startswith("prmt"):
        wanted = wanted.astype(np.uint32)
    np.testing.assert_array_equal(found, bits_of(wanted))


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(2.5, 2), (-2.5, -2), (np.inf, 2**63 - 1), (np.nan, 0), (-1e30, -(2**63))],
)
def test_floats_become_integers_as_on_a_gpu(number: float, wanted: int) -> None:
    found = converted(("cvt", "rzi", "s64", "f64"), bits_of(np.array([number])), np.uint64)
    assert found.view(np.int64).tolist() == [wanted]

"""Runs compiled Triton kernels on the CPU: an interpreter of the PTX that Triton generates.

All threads of a block run in lockstep, one instruction at a time, as NumPy arrays over the threads.
Lockstep is one of the schedules that a GPU may choose, so results are possible results. Accesses
that would depend on the schedule are found separately: `RaceError` reports bytes that two warps
access, one of them writing, without a barrier in between, or that two blocks access likewise.
`KernelError` reports accesses outside the tensors, misaligned ones, and reads of shared memory that
was never written. Races among the threads of one warp are not found.

- ``parse``: the text of a kernel to instructions.
- ``arithmetic``, ``conversions``: instructions that depend on registers alone.
- ``tensor_cores``: products of matrices that are spread over the threads of a warp.
- ``memory``: bytes, bounds and races.
- ``threads``, ``warps``, ``block``: registers, instructions of whole warps, and all others.
- ``launch``: compiles a kernel for the arguments of a launch and runs the grid.
"""

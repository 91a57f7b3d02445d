"""The kernels in Triton, for NVIDIA GPUs: bound by arithmetic, not by launches or memory.

- ``embed``: one pass over logits and activations; intermediate values stay in registers.
- ``update``: minimum distances of rows to new centers, in tiles that skip pairs by bounds.
- ``settle``: the part of an update that needs float64.
- ``accept``: which candidates of a block become centers, decided on the device.
- ``arithmetic``: what they share: products of tiles, float64 distances, the launch.

Precision is that of ``torch_blocked``: float32 where its digits suffice (``tf32x3`` on tensor
cores, three products of TF32 parts that replace one of float32; ``ieee`` under the interpreter),
else the tile again in float64, and the difference form for pairs that nearly coincide. Tile sizes
depend on the shapes and the architecture alone, and so does the order in which sums are formed.

Only the modules of this folder import triton. This file does not, so that it can be imported where
triton is not installed.
"""

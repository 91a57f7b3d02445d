"""Draws rows with probability proportional to their mass: on their device, and repeatably."""

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 32


def draw(mass: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Inverts the cumulative mass at ``uniforms``; nothing leaves the device.

    Rounding may hand out a row without mass where a target meets the end of a chunk, with a
    probability of the order of float64's roundoff; who accepts candidates by ``now > limit``
    accepts none without mass.

    Args:
        mass: ``[n]`` float64, not negative; ``n`` is 1 or more.
        uniforms: ``[b]`` float64 in [0, 1).

    Returns:
        Rows ``[b]`` int64, and the total mass ``[]``.
    """
    chunks = functional.pad(mass, (0, -len(mass) % CHUNK)).view(-1, CHUNK)
    sums = chunks.sum(dim=1)
    ends = _prefix_sums(sums)
    target = uniforms * ends[-1]
    chunk = torch.searchsorted(ends, target, right=True).clamp(max=len(ends) - 1)
    target = target - (ends[chunk] - sums[chunk])
    within = (_prefix_sums(chunks[chunk]) <= target[:, None]).sum(dim=1).clamp(max=CHUNK - 1)
    return (chunk * CHUNK + within).clamp(max=len(mass) - 1), ends[-1]


def _prefix_sums(values: Tensor) -> Tensor:
    """Sums along the last dimension, always in the same order: a GPU's ``cumsum`` need not."""
    if values.device.type == "cpu":
        return values.cumsum(dim=-1)
    step = 1
    while step < values.shape[-1]:
        head, tail = values[..., :step], values[..., step:] + values[..., :-step]
        values = torch.cat([head, tail], dim=-1)
        step *= 2
    return values

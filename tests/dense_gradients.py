"""Gradients and gains computed the dense way, by autograd in float64, to compare orderings with."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleId


def dense_gradients(
    model: nn.Module, head: str, inputs: list[Any], run: Callable[[Any, Any], Tensor]
) -> Tensor:
    """Returns the gradient of cross entropy at the predicted class for each sample.

    Args:
        model: Copied in float64 and in evaluation mode.
        head: Name of its head.
        inputs: Of one sample each.
        run: Returns the logits ``[1, c]`` of the copied model for one of the inputs.

    Returns:
        With respect to the head's weight, ``[n, c * h]``.
    """
    exact = copy.deepcopy(model).double().eval()
    weight = exact.get_submodule(head).weight
    rows = []
    for one in inputs:
        logits = run(exact, one)
        loss = functional.cross_entropy(logits, logits.argmax(dim=1))
        (gradient,) = torch.autograd.grad(loss, weight)
        rows.append(gradient.flatten())
    return torch.stack(rows)


def assert_orders(ordering: Ordering, gradients: Tensor, ids: list[SampleId]) -> None:
    """Checks an ordering of ``badge`` of a whole pool: its ids, and the gain of every rank.

    Args:
        ordering: Of the pool.
        gradients: Of the pool, ``[n, d]`` float64.
        ids: Whose gradient, ``[n]``.
    """
    assert sorted(ordering) == sorted(ids)
    place = {sample_id: row for row, sample_id in enumerate(ids)}
    rows = gradients[[place[sample_id] for sample_id in ordering]]
    sq_dist = (rows[:, None] - rows[None]).square().sum(dim=2)
    expected = [np.nan] + [float(sq_dist[rank, :rank].min()) for rank in range(1, len(rows))]
    largest = np.nanmax(expected)
    np.testing.assert_allclose(ordering.gains, expected, rtol=1e-4, atol=1e-6 * largest)
    assert largest > 0

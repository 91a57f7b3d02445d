"""Gains of an ordering, recomputed from dense gradients in float64 that autograd computes."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sequential import sq_dist
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge.ordering import Ordering


def dense_gradients(penultimate: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns the gradients ``[n, c * h]`` of cross entropy at the predicted class.

    Args:
        penultimate: What enters the head, ``[n, h]``.
        weight: Of the head, ``[c, h]``.
        bias: Of the head, ``[c]``.
    """
    leaf = weight.detach().double().requires_grad_()
    offset = None if bias is None else bias.detach().double()
    rows = []
    for row in penultimate.detach().double():
        logits = functional.linear(row, leaf, offset)
        loss = functional.cross_entropy(logits[None], logits.argmax()[None])
        (gradient,) = torch.autograd.grad(loss, leaf)
        rows.append(gradient.flatten())
    return torch.stack(rows)


def model_gradients(
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


def assert_gains(ordering: Ordering, ids: Sequence[Any], gradients: Tensor) -> None:
    """Checks ids and gains of a k-means++ ordering of a whole pool.

    Args:
        ordering: Of the pool.
        ids: Of the pool's rows, ``[n]``.
        gradients: Of the pool's rows, ``[n, c * h]``.
    """
    chosen: list[Any] = ordering.sample_ids.tolist()
    assert sorted(chosen) == sorted(ids)
    assert ordering.gains is not None
    row_of = {sample_id: row for row, sample_id in enumerate(ids)}
    rows = gradients.numpy()
    nearest, expected = np.full(len(rows), np.nan), []
    for sample_id in chosen:
        row = row_of[sample_id]
        expected.append(nearest[row])
        nearest = np.fmin(nearest, sq_dist(rows, rows[row]))
    scale = np.nanmax(expected)
    assert scale > 0
    np.testing.assert_allclose(ordering.gains, expected, rtol=1e-4, atol=1e-6 * scale)

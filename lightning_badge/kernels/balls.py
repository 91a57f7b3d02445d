"""Rows within a radius of others, counted exactly and without a matrix of all pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_badge.kernels.similarity import TILE, GridRows, sq_distances


def within(rows: GridRows, centers: GridRows, limit: float) -> Tensor:
    """Returns which rows lie in which balls, ``[r, m]`` bool.

    Args:
        rows: ``r`` rows.
        centers: ``m`` centers of balls.
        limit: Largest squared distance of a row in a ball to its center, in squared grid steps.
    """
    return sq_distances(rows, centers) <= limit


def in_any(rows: GridRows, centers: GridRows, limit: float) -> Tensor:
    """Returns which rows lie in at least one ball, ``[r]`` bool; arguments as in `within`."""
    return counts(rows, centers, limit) > 0


def counts(rows: GridRows, others: GridRows, limit: float) -> Tensor:
    """Returns how many of ``others`` the ball around each row contains, ``[r]`` int64."""
    found = torch.zeros_like(rows.sq_norm, dtype=torch.int64)
    for start in range(0, len(rows), TILE):
        part = slice(start, start + TILE)
        for first in range(0, len(others), TILE):
            other = others.take(slice(first, first + TILE))
            found[part] += within(rows.take(part), other, limit).sum(dim=1)
    return found


def counts_of_all(rows: GridRows, counted: Tensor, limit: float) -> Tensor:
    """Returns how many of the rows in the mask ``counted`` the ball around each row contains.

    The same as `counts` of ``rows`` and those in the mask, but each pair is multiplied once.
    """
    found = torch.zeros_like(rows.sq_norm, dtype=torch.int64)
    for start in range(0, len(rows), TILE):
        part = slice(start, start + TILE)
        for first in range(start, len(rows), TILE):
            other = slice(first, first + TILE)
            is_within = within(rows.take(part), rows.take(other), limit)
            found[part] += (is_within & counted[other]).sum(dim=1)
            if first > start:
                found[other] += (is_within & counted[part, None]).sum(dim=0)
    return found

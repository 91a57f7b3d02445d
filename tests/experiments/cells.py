"""Tiny cells and a tiny data set for the tests of the experiments."""

import torch
from compare.data_sets import Task
from compare.plan import PlannedCell


def cell(strategy: str = "random", seed: int = 0, **changed) -> PlannedCell:
    """Returns a cell of the tiny data set."""
    setting = {"data": "tiny", "model": "linear", "start": "random", "batches": "10", "end": 60}
    return PlannedCell(**setting | {"strategy": strategy, "arguments": "", "seed": seed} | changed)


def tiny_task() -> Task:
    """Returns three overlapping classes of images of 8 x 8 pixels: 150 to label, 60 to test."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(210) % 3
    means = torch.randn(3, 1, 8, 8, generator=generator)
    inputs = 0.5 * means[targets] + torch.randn(210, 1, 8, 8, generator=generator)
    return Task(inputs[:150], targets[:150], inputs[150:], targets[150:], 3)

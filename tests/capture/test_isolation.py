import random
from typing import Any

import numpy as np
import pytest
import torch
from tiny import needs_gpu
from torch import nn

from lightning_badge.capture.isolation import evaluation_mode, untouched_random_state


def draw(generator: torch.Generator) -> list[Any]:
    return [
        torch.rand(1).item(),
        torch.rand(1, generator=generator).item(),
        np.random.rand(),
        random.random(),
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_random_draws_go_on_as_if_nothing_had_been_drawn(fails: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = draw(generator)
    generator.manual_seed(1)
    torch.set_rng_state(states[0]), np.random.set_state(states[1]), random.setstate(states[2])
    try:
        with untouched_random_state(generator):
            draw(generator)
            torch.manual_seed(0)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert draw(generator) == expected


@needs_gpu
def test_cuda_draws_go_on_as_if_nothing_had_been_drawn() -> None:
    torch.cuda.manual_seed(5)
    expected = torch.rand(1, device="cuda")
    torch.cuda.manual_seed(5)
    with untouched_random_state():
        torch.rand(7, device="cuda")
    assert torch.equal(torch.rand(1, device="cuda"), expected)


class Frozen(nn.Sequential):
    """Keeps its layers in evaluation mode whatever it is told, as fine-tuning code does."""

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        for part in self:
            part.eval()
        return self


@pytest.mark.parametrize("fails", [False, True])
def test_every_submodule_gets_back_its_own_mode(fails: bool) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout(), Frozen(nn.Dropout())).train()
    model[1].eval()
    model[2][0].training = True
    before = [part.training for part in model.modules()]
    try:
        with evaluation_mode(model):
            assert not any(part.training for part in model.modules())
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert [part.training for part in model.modules()] == before

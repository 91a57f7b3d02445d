"""Masses are integer multiples of a power of two; draws do not depend on the split of rows."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.kernels.mass import BITS, Mass

# Without masses below 1e-300 of the largest one: their weight would be 0.
masses = st.lists(st.just(0.0) | st.floats(1e-140, 1e140), min_size=1, max_size=40)


@given(masses, st.integers(0, 10**7))
def test_weights_are_rounded_up_and_their_sum_fits(values: list[float], more: int) -> None:
    mass = torch.tensor(values, dtype=torch.float64)
    found = Mass.of(mass, len(values) + more)
    assert math.frexp(float(found.unit))[0] == 0.5, "a power of two"
    unit = Fraction(float(found.unit))
    weights = found.cumulative.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist()
    for value, weight in zip(values, weights, strict=True):
        assert (weight - 1) * unit < value <= weight * unit
        assert weight * (len(values) + more) < 2 ** (BITS + 1)
    assert float(found.value) == pytest.approx(float(unit * sum(weights)))


@given(masses, st.integers(0, 100))
def test_draws_do_not_depend_on_the_order_of_slots(values: list[float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mass = torch.tensor([1.0, *values], dtype=torch.float64)
    uniforms = torch.rand(20, generator=generator, dtype=torch.float64)
    rows, weights = Mass.of(mass, len(mass)).draw(uniforms)
    slots = torch.randperm(len(mass), generator=generator)  # slot s holds row slots[s]
    drawn, again = Mass.of(mass[slots], len(mass), slots.argsort()).draw(uniforms)
    assert torch.equal(slots[drawn], rows)
    assert torch.equal(weights, again)
    assert (weights > 0).all(), "a row without mass is never drawn"


def test_a_draw_has_the_probability_of_its_weight() -> None:
    mass = torch.tensor([3.0, 0.0, 1.0, 4.0], dtype=torch.float64)
    uniforms = (torch.arange(800, dtype=torch.float64) + 0.5) / 800
    rows, _ = Mass.of(mass, 4).draw(uniforms)
    assert torch.bincount(rows, minlength=4).tolist() == [300, 0, 100, 400]


def test_the_total_of_an_infinite_mass_is_infinite() -> None:
    assert Mass.of(torch.tensor([1.0, math.inf], dtype=torch.float64), 2).value == math.inf


def test_the_total_of_zero_masses_is_zero() -> None:
    nothing = Mass.of(torch.zeros(3, dtype=torch.float64), 3)
    assert nothing.value == 0
    rows, _ = nothing.draw(torch.tensor([0.0, 0.99], dtype=torch.float64))
    assert ((rows >= 0) & (rows < 3)).all()

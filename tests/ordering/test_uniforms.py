"""Numbers that are drawn ahead are those that the generator draws one block at a time."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.ordering import uniforms
from lightning_badge.ordering.uniforms import Uniforms

CPU = torch.device("cpu")
STEPS = st.lists(st.one_of(st.integers(1, 40), st.sampled_from(["integers", "permutation"])))


@given(seed=st.integers(0, 2**32), steps=STEPS, at_once=st.integers(0, 60))
def test_the_numbers_are_those_of_the_generator(seed, steps, at_once) -> None:
    expected, numbers = np.random.default_rng(seed), Uniforms(seed, CPU, at_once=at_once)
    for step in steps:
        if step == "integers":
            assert numbers.generator.integers(10**6) == expected.integers(10**6)
        elif step == "permutation":
            ours, theirs = numbers.generator.permutation(9), expected.permutation(9)
            assert ours.tolist() == theirs.tolist()
        else:
            assert np.array_equal(numbers.take(2, step).numpy(), expected.random((2, step)))


@given(seed=st.integers(0, 2**32), given_out=st.integers(0, 70))
def test_a_state_is_without_the_numbers_ahead(seed, given_out) -> None:
    numbers, resumed = (Uniforms(seed + i, CPU, at_once=50) for i in range(2))
    numbers.take(given_out)
    resumed.take(3)
    resumed.state = numbers.state
    assert torch.equal(resumed.take(50), numbers.take(50))
    assert resumed.state == numbers.state


def test_many_blocks_share_a_copy(monkeypatch) -> None:
    copies = []
    to_device = uniforms.to_device
    monkeypatch.setattr(
        uniforms, "to_device", lambda *a: (copies.append(len(a[0])), to_device(*a))[1]
    )
    numbers = Uniforms(0, CPU, at_once=uniforms.AT_ONCE)
    for _ in range(16):
        numbers.take(2, 2048)
    assert copies == [2**16]
    numbers.take(2, 2**16)  # a block that is larger than that
    assert copies == [2**16, 2**17]

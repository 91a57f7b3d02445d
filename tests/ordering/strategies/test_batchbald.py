"""BatchBALD compared with the definition of mutual information over all configurations."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import make_pool, posterior_of

from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import LazyOrdering, order
from lightning_badge.ordering.strategies.batchbald import (
    Joint,
    conditional_information,
    mutual_information,
)


def draw_posterior(n: int, s: int, c: int, seed: int, sharpness: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(n, s, c, generator=generator).double()).softmax(dim=2)


def joint_information(posterior: torch.Tensor, batch: tuple[int, ...]) -> float:
    """Returns I(labels of the batch; posterior sample), summed over all configurations."""
    p = posterior.numpy()
    _, s, c = p.shape
    total = 0.0
    for configuration in product(range(c), repeat=len(batch)):
        under_each = np.prod(
            [p[row, :, label] for row, label in zip(batch, configuration, strict=True)], axis=0
        )
        joint = under_each / s
        marginal = joint.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = joint * np.log(joint / (marginal / s))
        total += np.nansum(terms)
    return float(total)


problems = st.tuples(
    st.integers(1, 5), st.integers(1, 4), st.integers(2, 3), st.integers(0, 10_000)
)


@settings(deadline=None, max_examples=25)
@given(problems)
def test_greedy_picks_equal_the_definition(problem) -> None:
    n, s, c, seed = problem
    posterior = draw_posterior(n, s, c, seed)
    ordering = order(make_pool(n), "batchbald", posterior=posterior)
    rows = [int(sample_id[1:]) for sample_id in ordering]
    information = 0.0
    for rank, row in enumerate(rows):
        values = {
            other: joint_information(posterior, (*rows[:rank], other))
            for other in range(n)
            if other not in rows[:rank]
        }
        assert values[row] == pytest.approx(max(values.values()), abs=1e-9)
        assert ordering.gains[rank] == pytest.approx(values[row] - information, abs=1e-9)
        information = values[row]


@settings(deadline=None, max_examples=25)
@given(problems)
def test_joint_information_is_monotone_and_submodular_as_the_early_stop_assumes(problem) -> None:
    n, s, c, seed = problem
    posterior = draw_posterior(n, s, c, seed)
    value = {
        batch: joint_information(posterior, batch)
        for size in range(1, min(n, 4) + 1)
        for batch in combinations(range(n), size)
    }
    value[()] = 0.0
    for batch in list(value):
        for row in set(range(n)) - set(batch):
            more = tuple(sorted((*batch, row)))
            if more in value:
                gain = value[more] - value[batch]
                assert -1e-9 <= gain <= value[(row,)] + 1e-9


def test_bald_is_the_first_gain_of_batchbald_and_the_information_of_one_label() -> None:
    posterior = draw_posterior(30, 4, 3, seed=1)
    pool = make_pool(30)
    alone = order(pool, "bald", posterior=posterior)
    exact = sorted((joint_information(posterior, (row,)) for row in range(30)), reverse=True)
    np.testing.assert_allclose(alone.gains, exact, atol=1e-9)
    jointly = order(pool, "batchbald", posterior=posterior, k=1)
    assert (jointly.sample_ids[0], jointly.gains[0]) == (alone.sample_ids[0], alone.gains[0])


def test_sampled_configurations_estimate_the_exact_gain() -> None:
    posterior = draw_posterior(8, 5, 3, seed=2, sharpness=1.5)
    draws = np.random.default_rng(0)
    exact = sampled = Joint.start(5, 20_000)
    for row in range(4):
        exact = exact.with_pick(posterior[row], draws)
        # Two picks with all configurations, then two with sampled ones.
        sampled = (sampled._sampled(draws) if row == 2 else sampled).with_pick(
            posterior[row], draws
        )
    assert len(exact.weights) == 3**4
    assert len(sampled.weights) == 20_000
    assert float(exact.weights.sum()) == pytest.approx(1.0)
    wanted = conditional_information(posterior[4:], exact)
    got = conditional_information(posterior[4:], sampled)
    # Entropies of three classes are in [0, log 3], so the standard error is at most half of that
    # range divided by the square root of the number of draws.
    assert np.abs(got - wanted).max() < 5 * np.log(3) / 2 / np.sqrt(20_000)


def test_sampled_configurations_give_similar_gains() -> None:
    posterior = draw_posterior(12, 6, 3, seed=4)
    pool = make_pool(12)
    exact = order(pool, "batchbald", posterior=posterior, k=4, configurations=10_000)
    sampled = order(pool, "batchbald", posterior=posterior, k=4, configurations=26)
    again = order(pool, "batchbald", posterior=posterior, k=4, configurations=26)
    assert list(exact)[:2] == list(sampled)[:2], "all nine configurations fit"
    np.testing.assert_array_equal(sampled.gains, again.gains)
    assert np.abs(exact.gains - sampled.gains).max() < 0.2


def test_gains_sum_to_at_most_the_log_of_the_number_of_posterior_samples() -> None:
    posterior = draw_posterior(60, 4, 3, seed=5, sharpness=8.0)
    gains = order(make_pool(60), "batchbald", posterior=posterior, k=20).gains
    assert np.log(4) * 0.95 < gains.sum() < np.log(4) * 1.001
    assert gains[-1] < 1e-3 < gains[0]


def test_a_copy_of_a_pick_is_not_the_next_pick() -> None:
    posterior = draw_posterior(6, 5, 3, seed=6).repeat(2, 1, 1)
    ordering = order(make_pool(12), "batchbald", posterior=posterior, k=2)
    first, second = (int(sample_id[1:]) for sample_id in ordering)
    assert first < 6
    assert second % 6 != first


def test_ranks_from_depth_on_are_sorted_by_score_and_have_no_gain() -> None:
    posterior = draw_posterior(40, 4, 3, seed=7)
    ordering = order(make_pool(40), "batchbald", posterior=posterior, depth=5)
    scores = mutual_information(posterior)
    rest = [int(sample_id[1:]) for sample_id in ordering][5:]
    assert (np.diff(scores[rest]) <= 0).all()
    assert np.isnan(ordering.gains[5:]).all()
    assert not np.isnan(ordering.gains[:5]).any()


def test_block_size_does_not_change_the_ordering(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_badge.ordering.strategies import batchbald

    posterior = draw_posterior(50, 4, 3, seed=8)
    whole = order(make_pool(50), "batchbald", posterior=posterior, k=6)
    monkeypatch.setattr(batchbald, "BLOCK", 100)
    parts = order(make_pool(50), "batchbald", posterior=posterior, k=6)
    assert list(whole) == list(parts)


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (torch.ones(3, 2), r"\[4, s, c\].*got \[3, 2\]"),
        (torch.ones(3, 2, 2) / 2, r"\[4, s, c\].*got \[3, 2, 2\]"),
        (torch.ones(4, 0, 2), r"got \[4, 0, 2\]"),
        (torch.ones(4, 2, 2, dtype=torch.int64), "class probabilities"),
        (np.ones((4, 2, 2)), "got ndarray"),
        (torch.full((4, 2, 2), 0.6), "row 0 violates"),
        (torch.tensor([1.5, -0.5]).expand(4, 2, 2), "row 0 violates"),
        (torch.full((4, 2, 2), torch.nan), "row 0 violates"),
    ],
)
def test_an_invalid_posterior_is_refused(posterior: object, message: str) -> None:
    with pytest.raises(OrderingError, match=message):
        order(make_pool(4), "bald", posterior=posterior)


@pytest.mark.parametrize("argument", [{"depth": -1}, {"depth": 2.0}, {"configurations": 0}])
def test_depth_and_configurations_must_be_integers_in_range(argument: dict) -> None:
    pool = make_pool(4)
    with pytest.raises(OrderingError, match="expected an integer of [01] or more"):
        order(pool, "batchbald", posterior=posterior_of(pool), **argument)


def test_added_rows_need_a_posterior() -> None:
    pool, more = make_pool(4), make_pool(2, prefix="t")
    lazy = LazyOrdering(pool, "bald", posterior=posterior_of(pool))
    with pytest.raises(OrderingError, match="extend: strategy 'bald' needs posterior="):
        lazy.extend(more)
    with pytest.raises(OrderingError, match=r"expected class probabilities \[2, 3, 4\]"):
        lazy.extend(more, posterior=posterior_of(more, s=5))
    assert len(lazy) == 4, "nothing was added"
    with pytest.raises(OrderingError, match="'badge' does not use posterior="):
        LazyOrdering(pool).extend(more, posterior=posterior_of(more))

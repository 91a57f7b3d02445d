import math
from dataclasses import replace

import numpy as np
import pytest

from lightning_badge.accuracy_change import change, paired_change
from lightning_badge.forecast import forecast
from lightning_badge.outlook import MeasuredRound, Outlook, in_words, is_share, outlook, packed

ROUNDS = [
    *(MeasuredRound(20, 0.52, 500), MeasuredRound(50, 0.66, 500), MeasuredRound(90, 0.74, 500)),
    *(MeasuredRound(150, 0.79, 500), MeasuredRound(220, 0.83, 500)),
]


def found(rounds: list[MeasuredRound] = ROUNDS, pool: int = 1000, **arguments: bool) -> Outlook:
    outlook_ = outlook(rounds, pool=pool, multilabel=False, **arguments)
    assert outlook_ is not None
    return outlook_


def test_it_is_the_change_and_the_forecast() -> None:
    last = found()
    assert (last.added, last.is_paired, last.ahead, last.reason) == (70, False, 100, None)
    assert last.brought == change(0.79, 0.83, 500)
    assert last.expected == forecast([20, 50, 90, 150, 220], [r.value for r in ROUNDS], 500)
    assert in_words(last) == (
        "the last 70 labels: +0.040 (80 %, if errors of both rounds are independent: +0.008 to "
        "+0.072); the next 100: 0.855 (80 %: 0.823 to 0.888)"
    )


def test_rounds_that_name_their_correct_samples_are_paired() -> None:
    rng = np.random.default_rng(0)
    before = rng.permutation(500) < 395
    after = before | (np.cumsum(~before) <= 20)
    rounds = [
        *ROUNDS[:-2],
        replace(ROUNDS[-2], correct=packed(before)),
        replace(ROUNDS[-1], correct=packed(after)),
    ]
    assert found(rounds).is_paired
    assert found(rounds).brought == paired_change(before, after)
    assert "(80 %, paired: " in in_words(found(rounds))


@pytest.mark.parametrize("correct", ["", "?", "AAAA", packed([1] * 400 + [0] * 100), None])
def test_what_does_not_fit_the_metric_is_not_paired(correct: str) -> None:
    good = replace(ROUNDS[-2], correct=packed([1] * 395 + [0] * 105))
    assert not found([good, replace(ROUNDS[-1], correct=correct)]).is_paired


def test_validation_parts_of_other_sizes_are_not_paired() -> None:
    grown = MeasuredRound(220, 0.5, 600, packed([1] * 300 + [0] * 300))
    good = replace(ROUNDS[-2], correct=packed([1] * 395 + [0] * 105))
    assert found([good, grown]).brought == change(0.79, 0.5, 600, 500)


def test_no_estimate_goes_beyond_the_pool() -> None:
    assert found(pool=30).ahead == 30
    assert "the next 30: 0.8" in in_words(found(pool=30))
    assert (found(pool=0).expected, found(pool=0).reason) == (None, "nothing is left to label")


def test_before_four_rounds_it_says_that_there_is_no_estimate() -> None:
    early = found(ROUNDS[:3])
    assert (early.brought, early.expected) == (change(0.66, 0.74, 500), None)
    assert in_words(early).endswith("; no estimate of the next labels before 4 rounds, so far 3")
    assert found(ROUNDS[:4]).expected is not None
    again = [*ROUNDS[:3], ROUNDS[2]]  # nothing was labeled in between
    assert found(again).expected is None


@pytest.mark.parametrize(
    ("rounds", "multilabel", "reason"),
    [
        (ROUNDS, True, "samples have several classes"),
        ([*ROUNDS[:4], MeasuredRound(220, 0.83)], False, "number of validation samples is not"),
        ([*ROUNDS[:4], MeasuredRound(220, 0.8311, 500)], False, "the metric is no share"),
        ([*ROUNDS[:4], MeasuredRound(220, 2.0, 500)], False, "the metric is no share"),
    ],
)
def test_where_nothing_can_be_said_it_says_why(
    rounds: list[MeasuredRound], multilabel: bool, reason: str
) -> None:
    last = outlook(rounds, pool=1000, multilabel=multilabel)
    assert last is not None
    assert (last.brought, last.expected) == (None, None)
    assert "the last 70 labels and the next 100: no interval, because " in in_words(last)
    assert reason in in_words(last)


def test_an_earlier_round_that_does_not_fit_leaves_the_change() -> None:
    last = found([MeasuredRound(10, 0.333, 500), *ROUNDS[1:]])
    assert last.brought is not None
    assert "in an earlier round the metric is no share" in in_words(last)


def test_rounds_without_labels_or_metric_do_not_count() -> None:
    cold = MeasuredRound(0, math.nan)
    assert found([cold, *ROUNDS]) == found()
    assert outlook([cold, ROUNDS[0]], pool=9, multilabel=False) is None
    assert outlook([*ROUNDS, MeasuredRound(300, math.nan)], pool=9, multilabel=False) is None
    assert outlook([], pool=9, multilabel=False) is None


def test_an_accuracy_in_single_precision_is_a_share_and_other_metrics_are_not() -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(1, 200_000, size=500)
    right = rng.integers(0, samples + 1)
    shares = (right.astype(np.float32) / samples.astype(np.float32)).astype(float)
    assert all(map(is_share, shares.tolist(), samples.tolist()))
    others = rng.uniform(size=500).tolist()
    assert np.mean([is_share(value, 1000) for value in others]) < 0.02
    assert not is_share(-0.5, 2)
    assert not is_share(math.inf, 2)

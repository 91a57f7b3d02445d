"""Is it worth going on? Estimates of the next labels, and coverage as a stopping rule."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from compare.data_sets import TEST_ROWS
from compare.forecasts import NEAR, Estimate, estimates, held_over
from compare.shared_work import as_table
from compare.stopping import stops
from experiments.cells import cell
from experiments.tables_of_results import results

from lightning_badge.forecast import forecast


def run(accuracies: list[float], labels: list[int], *, seed: int = 0, rounds=None) -> pa.Table:
    """Returns a run on digits, a round at each number of labels unless ``rounds`` says else."""
    rows = [
        {
            "round": round,
            "labels": n,
            "accuracy": value,
            "balanced_accuracy": value,
            "coverage": float("nan"),
            "seconds": 1.0,
        }
        for round, n, value in zip(rounds or range(len(labels)), labels, accuracies, strict=True)
    ]
    return as_table(cell("badge", seed, data="digits"), rows)


LABELS, ACCURACIES = [20, 40, 80, 160, 240, 300], [0.5, 0.6, 0.7, 0.78, 0.81, 0.83]


def test_an_estimate_uses_the_rounds_so_far_and_is_compared_with_what_came() -> None:
    table = run(ACCURACIES, LABELS)
    (at_model,) = estimates(table, at_a_model=True)[:1]
    expected = forecast(LABELS[:4], ACCURACIES[:4], TEST_ROWS["digits"], ahead=80)
    assert at_model.measured == pytest.approx(81)  # 240 is nearest to 160 + 100
    assert (at_model.low, at_model.high) == (100 * expected.low, 100 * expected.high)
    assert at_model.error == pytest.approx(100 * expected.value - 81)
    (on_curve,) = estimates(table, at_a_model=False)
    share = np.log(260 / 240) / np.log(300 / 240)
    assert on_curve.measured == pytest.approx(81 + 2 * share)
    expected = forecast(LABELS[:4], ACCURACIES[:4], TEST_ROWS["digits"])
    assert on_curve.high == 100 * expected.high


def test_only_ends_of_rounds_count_as_rounds_but_models_inside_one_are_measured() -> None:
    rounds = [0, 1, 2, 3, 4, 4]
    found = estimates(run(ACCURACIES, LABELS, rounds=rounds), at_a_model=True)
    assert [one.measured for one in found] == [pytest.approx(81)]
    assert estimates(run(ACCURACIES[:5], LABELS[:5], rounds=[0, 1, 2, 3, 3]), at_a_model=True) == []


def test_a_model_that_is_not_about_100_labels_ahead_is_no_comparison() -> None:
    labels = [20, 40, 60, 80, 80 + NEAR[1] + 1]
    assert estimates(run(ACCURACIES[:5], labels), at_a_model=True) == []
    labels[-1] -= 1
    assert len(estimates(run(ACCURACIES[:5], labels), at_a_model=True)) == 1


def test_shares_are_means_over_data_sets() -> None:
    held = Estimate("digits", "badge", 0, 70.0, 80.0, 1.0, 75.0)
    above = Estimate("digits", "badge", 0, 70.0, 80.0, -9.0, 84.0)
    below = Estimate("mnist", "random", 0, 60.0, 80.0, 20.0, 50.0)
    (found,) = held_over([held, held, held, above, below])
    assert found.estimates == 5
    assert (found.share, found.too_low, found.too_high) == (37.5, 12.5, 50.0)
    assert (found.width, found.error) == (10.0, 1.0)
    by_data = {one.name: one for one in held_over([held, above, below], "data")}
    assert (by_data["digits"].share, by_data["mnist"].share) == (50.0, 0.0)
    assert np.isnan(by_data["digits"].half_width)  # one seed
    (found,) = held_over([held, held, replace(above, seed=1)], "data")
    assert found.share == 50.0
    assert found.half_width > 50
    everywhere = [held, above, below, replace(above, data="letter")]
    assert np.isnan(next(held_over(everywhere[:3])).half_width)  # two data sets
    assert next(held_over(everywhere)).half_width > 50


@pytest.mark.slow
def test_intervals_hold_on_smooth_curves_and_not_on_curves_that_jump() -> None:
    smooth = [0.9 - 1.2 * n**-0.4 for n in LABELS]
    jumps = [*smooth[:4], smooth[4] - 0.3, smooth[5] - 0.3]
    shares = []
    for heights in (smooth, jumps):
        (found,) = held_over(estimates(run(heights, LABELS), at_a_model=True))
        shares.append(found.share)
    assert shares[0] == 100
    assert shares[1] < 100


def test_stopping_at_a_coverage_leaves_accuracy_to_come() -> None:
    table = results({"random": 0, "badge": 0.02}, noise=0.0)
    half, most, never = stops(table, (0.5, 0.8, 0.9))
    assert {one.contestant for one in (half, most, never)} == {"badge"}
    assert (half.runs, half.reached) == (18, 18)
    assert half.labels[1] == pytest.approx(160 / 300)
    assert half.to_come[1] == pytest.approx(9.07, abs=0.01)
    assert most.to_come[1] == 0
    assert never.reached == 0

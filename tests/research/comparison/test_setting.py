import random
from typing import Any

import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.setting import Curve, Setting, settings_of


def rows(*runs: tuple[str, str, int], labels: tuple[int, ...] = (10, 20)) -> list[dict[str, Any]]:
    return [
        {"strategy": strategy, "budget": budget, "seed": seed, "labels": count, "acc": count / 100}
        for strategy, budget, seed in runs
        for count in labels
    ]


ALL = [(s, b, n) for s in ("badge", "random") for b in ("fixed", "variable") for n in (0, 1, 2)]


def test_curves_are_interpolated_linearly_between_rounds() -> None:
    curves = [([10, 30], [0.25, 0.75]), ([10, 20], [0.0, 1.0])]
    setting = Setting("fixed", (0, 1), {"badge": curves})
    assert setting.at([10, 15, 20])["badge"].tolist() == [[0.25, 0.375, 0.5], [0, 0.5, 1]]


def test_common_labels_are_all_measured_sizes_in_the_common_range() -> None:
    curves: dict[str, list[Curve]] = {
        "badge": [([10, 25, 40], [0, 0, 0]), ([12, 18, 60], [0, 0, 0])],
        "random": [([10, 30, 50], [0, 0, 0]), ([10, 35, 55], [0, 0, 0])],
    }
    setting = Setting("variable", (0, 1), curves)
    assert setting.common_labels().tolist() == [12, 18, 25, 30, 35, 40]
    assert (setting.first_labels, setting.last_labels) == (12, 40)


def test_the_query_size_is_the_largest_of_the_smallest_query_sizes() -> None:
    curves: dict[str, list[Curve]] = {
        "fixed": [([10, 50, 90], [0, 0, 0]), ([10, 50, 90], [0, 0, 0])],
        "variable": [([10, 70, 90], [0, 0, 0]), ([10, 15, 90], [0, 0, 0])],
    }
    assert Setting("badge", (0, 1), curves).query_size == 40


@pytest.mark.parametrize(
    ("contestants", "other", "names"),
    [
        ("strategy", ["fixed", "variable"], ["badge", "random"]),
        ("budget", ["badge", "random"], ["fixed", "variable"]),
    ],
)
def test_the_factor_that_is_not_compared_defines_the_settings(
    contestants: str, other: list[str], names: list[str]
) -> None:
    settings = settings_of(rows(*ALL), metric="acc", contestants=contestants)
    assert [setting.name for setting in settings] == other
    for setting in settings:
        assert list(setting.curves) == names
        assert setting.seeds == (0, 1, 2)
        assert setting.curves[names[0]] == [((10, 20), (0.1, 0.2))] * 3


def test_curves_are_in_the_order_of_their_seeds() -> None:
    shuffled = [run for run in ALL if run[1] == "fixed"]
    random.Random(0).shuffle(shuffled)
    table = rows(*shuffled)
    for row in table:
        row["acc"] = row["seed"]
    (setting,) = settings_of(table, metric="acc")
    assert [values for _, values in setting.curves["badge"]] == [(0, 0), (1, 1), (2, 2)]


class TestErrors:
    def test_a_missing_run_is_an_error(self) -> None:
        with pytest.raises(BadgeError, match=r"fixed: random has no run of seeds \[2\]; run them"):
            settings_of(rows(*(run for run in ALL if run != ("random", "fixed", 2))), metric="acc")

    def test_a_missing_contestant_is_an_error(self) -> None:
        table = rows(*(run for run in ALL if run[:2] != ("random", "variable")))
        with pytest.raises(BadgeError, match="variable: no runs of random; run them first"):
            settings_of(table, metric="acc")

    def test_an_unknown_metric_is_an_error(self) -> None:
        with pytest.raises(BadgeError, match="metric: expected 'f1' in every row, got"):
            settings_of(rows(*ALL), metric="f1")

    def test_only_strategies_and_budgets_can_be_compared(self) -> None:
        with pytest.raises(BadgeError, match="expected strategy or budget, got 'seed'"):
            settings_of(rows(*ALL), metric="acc", contestants="seed")

    @pytest.mark.parametrize("labels", [(10,), (10, 10), (20, 10)])
    def test_a_curve_needs_two_rounds_and_increasing_labels(self, labels: tuple[int, ...]) -> None:
        with pytest.raises(BadgeError, match="fixed: badge, seed 0: expected at least two rounds"):
            settings_of(rows(("badge", "fixed", 0), labels=labels), metric="acc")

    def test_curves_that_share_no_labels_cannot_be_compared(self) -> None:
        table = rows(("badge", "fixed", 0)) + rows(("random", "fixed", 0), labels=(20, 30))
        with pytest.raises(BadgeError, match="one begins at 20 and one ends at 20"):
            settings_of(table, metric="acc")

    def test_a_missing_curve_of_a_seed_is_an_error(self) -> None:
        with pytest.raises(BadgeError, match="badge: expected 2 curves, got 1"):
            Setting("fixed", (0, 1), {"badge": [([1, 2], [0, 0])]})

import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.report import curve_table, report
from lightning_badge.research.comparison.setting import Setting

pytest.importorskip("scipy")

SETTING = Setting(
    "fixed",
    (3, 4),
    {
        "slow": [([10, 20, 30], [0.5, 0.5, 0.7]), ([10, 20, 30], [0.5, 0.6, 0.7])],
        "fast": [([10, 20, 30], [0.5, 0.9, 0.9]), ([10, 20, 30], [0.5, 0.9, 0.9])],
    },
)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_has_area_values_and_labels_needed_best_first() -> None:
    head, _, *rows = cells(curve_table(SETTING, [0.6, 0.8]))
    assert head == ["", "area", "10", "20", "30", "to 60 %", "to 80 %"]
    # The mean height of 0.5, 0.9, 0.9 is 0.8; 0.6 is reached a quarter and 0.8 three quarters of
    # the way from 10 to 20 labels.
    assert rows[0][:4] == ["**fast**", "80.0 ± 0.0", "50.0 ± 0.0", "90.0 ± 0.0"]
    assert rows[0][5:] == ["12", "18"]
    # Areas 0.55 and 0.6. Two seeds that differ by d have an interval of 12.706 x d / 2.
    assert rows[1][:4] == ["**slow**", "57.5 ± 31.8", "50.0 ± 0.0", "55.0 ± 63.5"]
    # 60 % is reached with 25 and 20 labels, 80 % never.
    assert rows[1][5:] == ["22", "- (0 of 2)"]


def test_a_target_reached_by_fewer_than_half_of_the_seeds_has_no_median() -> None:
    curves = [([10, 20], [0.1, 0.9]), ([10, 20], [0.1, 0.2]), ([10, 20], [0.1, 0.2])]
    one_of_three = Setting("fixed", (0, 1, 2), {"badge": curves})
    two_of_three = Setting("fixed", (0, 1, 2), {"badge": [curves[0], *curves[:2]]})
    assert cells(curve_table(one_of_three, [0.5]))[2][-1] == "- (1 of 3)"
    assert cells(curve_table(two_of_three, [0.5]))[2][-1] == "15 (2 of 3)"


def test_the_report_describes_the_comparison_and_the_test() -> None:
    text = report("digits", [SETTING], metric="accuracy", targets=[0.8], baseline="slow")
    for words in (
        "# digits\n",
        "](learning_curves.png)",
        "](penalty_matrix.png)",
        "## fixed\n\n2 seeds (3, 4), 10 to 30 labels.",
        "two-sided t-test at 90 %, paired by seed",
        "(fixed: 20), until slow reaches 99 %",
        "| **fast** | 1.00 |",
    ):
        assert words in text


def test_a_single_seed_is_an_error() -> None:
    one = Setting("fixed", (0,), {"badge": [([10, 20], [0.1, 0.9])]})
    with pytest.raises(BadgeError, match="seeds: expected at least 2"):
        report("digits", [one], metric="accuracy")

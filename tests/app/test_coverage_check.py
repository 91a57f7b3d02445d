from pathlib import Path

import forked
import pytest
from omegaconf import OmegaConf

from lightning_badge.app.coverage_check import check_coverage
from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import CoverageBudget, FixedBudget

MEASURING = "strategy=badge, strategy=badge_labeled, strategy=kmeans_pp_penultimate"
COVERAGE = CoverageBudget(coverage=0.5, high=9)


@pytest.mark.parametrize("name", ["maxherding", "uherding", "coreset", "random"])
def test_a_strategy_without_coverage_is_an_error_that_says_why(name: str) -> None:
    config = OmegaConf.create({"strategy": {"name": name}})
    message = f"{name!r} does not measure coverage.* use one of {MEASURING}, or another budget"
    with pytest.raises(BudgetError, match=message):
        check_coverage(config, COVERAGE)
    check_coverage(config, FixedBudget(k=3))


def test_a_strategy_with_coverage_or_of_somebody_else_passes() -> None:
    check_coverage(OmegaConf.create({"strategy": {"name": "badge"}}), COVERAGE)
    check_coverage(OmegaConf.create({"strategy": {"name": "mine"}}), COVERAGE)
    check_coverage(OmegaConf.create({}), COVERAGE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("loop", ["strategy=uherding"]),
        ("check", ["strategy=uherding"]),
        ("loop", ["data=folder", "data.path=table.csv"]),
    ],
)
def test_the_commands_end_before_training(
    command: str, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("a,label\n" + "1,x\n2,y\n" * 30)
    done = forked.run(tmp_path, command, *arguments, "budget=coverage", "run_dir=run")
    assert done.status == 1
    assert "budget=coverage: strategy 'uherding' does not measure coverage" in done.err
    assert not (tmp_path / "run" / "config.yaml").exists()

"""The documentation of the experiments is what their tables give, and the rules are older."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from compare.answers import PARTS
from compare.plan import PlannedCell, planned_cells
from compare.publish import main, publish, take_over
from compare.published import check_published, digests, with_column, with_section
from compare.shared_work import Results, cells_in, stored, work
from hydra import compose, initialize_config_dir

from lightning_badge.exceptions import BadgeError

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

ROOT = Path(__file__).parents[2]
HEIGHTS = {"random": 0.0, "badge": 0.1, "margin": 0.05}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Returns a copy of the pages, without any table."""
    (tmp_path / "docs/experiments").mkdir(parents=True)
    for name in ("experiments.md", "strategies.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    return tmp_path / "docs"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Returns some cells of the first part, with made-up curves."""
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cells = planned_cells(compose("compare_strategies", ["experiment=linear_heads"]))
    found = Results(tmp_path / "results")
    some = [
        cell
        for cell in cells
        if cell.data in ("digits", "satimage", "vowel")
        and cell.strategy in HEIGHTS
        and cell.seed < 3
    ]
    assert len(list(work(some, found, curve))) == 27
    return found


def curve(cell: PlannedCell) -> list[dict]:
    return [
        {
            "round": round,
            "labels": labels,
            "accuracy": 0.4 + 0.1 * round + HEIGHTS[cell.strategy] + 0.003 * cell.seed * round,
            "balanced_accuracy": 0.4,
            "coverage": float("nan"),
            "seconds": 2.0,
        }
        for round, labels in enumerate((20, 40, 80, 160))
    ]


def test_the_documentation_is_what_was_made_from_the_tables_in_it() -> None:
    check_published(ROOT / "docs")


@pytest.mark.long
def test_the_tables_in_the_documentation_give_the_same_text_again(tmp_path: Path) -> None:
    """Pictures are left out: another version of matplotlib may draw other pixels."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    publish(tmp_path / "docs")
    before, after = (
        {name: digest for name, digest in digests(folder).items() if not name.endswith(".png")}
        for folder in (ROOT / "docs", tmp_path / "docs")
    )
    assert after == before


@pytest.mark.slow
def test_one_command_takes_over_a_table_and_makes_the_rest(
    docs: Path, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    results.merge()
    command = ["--docs", str(docs), "--part", "linear_heads", "--table", str(results.table_path)]
    monkeypatch.setattr(sys, "argv", ["publish.py", *command])
    main()
    said = capsys.readouterr().out
    assert said.startswith("There are too few seeds or strategies over all parts so far")
    table = stored(docs / "experiments/linear_heads.parquet")
    assert str(cells_in(table)) == "27 of 3,840"
    page = (docs / "experiments/linear_heads.md").read_text()
    section = (docs / "experiments.md").read_text().partition("## Rules")[0]
    for text in (page, section):
        assert "**Not finished: 27 of 3,840 cells." in text
        assert "`badge` has the largest mean area: +10.0 ± 0.0 points ahead of `random`" in text
    assert (
        "| `linear_cold` | which strategy, without any label at the start | not measured" in section
    )
    assert "```{toctree}\n:hidden:\n\nexperiments/linear_heads\n```" in section
    strategies = (docs / "strategies.md").read_text()
    assert "| linear head (not finished): +5.0 ± 0.0, from +5.0" in strategies
    assert strategies.count("| not measured yet |") == 11
    assert strategies.count("| the baseline |") == 1

    check_published(docs)
    before = digests(docs)
    publish(docs)
    assert digests(docs) == before
    for name, change in CHANGES.items():
        kept = (docs / name).read_bytes()
        change(docs / name)
        with pytest.raises(BadgeError, match=f"got other .*{Path(name).name}"):
            check_published(docs)
        (docs / name).write_bytes(kept)


def replace(old: str, new: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


CHANGES: dict[str, Callable[[Path], object]] = {
    "experiments.md": replace("+10.0 ± 0.0", "+11.0 ± 0.0"),
    "strategies.md": replace("+5.0 ± 0.0", "+6.0 ± 0.0"),
    "experiments/linear_heads.md": replace("+10.0", "+11.0"),
    "experiments/linear_heads_curves.png": Path.unlink,
    "experiments/linear_heads_penalties.png": lambda path: path.write_bytes(b"another"),
    "experiments/linear_heads.parquet": lambda path: pq.write_table(stored(path)[1:], path),
}


def test_what_is_not_a_table_of_the_part_is_refused(docs: Path, results: Results) -> None:
    with pytest.raises(BadgeError, match="--part: expected one of linear_heads, .* got 'nope'"):
        take_over(results.table_path, "nope", docs)
    with pytest.raises(BadgeError, match=r"expected a table of all finished cells, got 27 more"):
        take_over(results.table_path, "linear_heads", docs)
    results.merge()
    other = "rows of the 560 cells of mlp_heads, got 108 rows with 27 other cells"
    with pytest.raises(BadgeError, match=other):
        take_over(results.table_path, "mlp_heads", docs)
    assert not list((docs / "experiments").iterdir())


def test_a_section_and_a_column_are_replaced_and_nothing_else() -> None:
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    changed = with_section(page, r"\1 new" + "\n")
    assert "\n\\1 new\n<!-- made by" in changed
    assert with_section(changed, "") == with_section(page, "")
    table = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    cells = with_column(table, {"badge": r"\1 | all"}).splitlines()
    before = table.splitlines()
    differ = [line for line, old in zip(cells, before, strict=True) if line != old]
    assert all(line.startswith("| `") for line in differ)
    assert any(line.startswith("| `badge` |") and line.endswith(r"| \1 | all |") for line in cells)
    for broken, change in ((page, with_section), (table, with_column)):
        with pytest.raises(BadgeError, match="expected"):
            change(broken.replace("begin", "").replace("helped", ""), {})


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_an_experiment_of_the_plan(part: str) -> None:
    assert (ROOT / "configs/experiment" / f"{part}.yaml").is_file()
    plan = (ROOT / "docs/experiments.md").read_text(encoding="utf-8").partition("## The plan")[2]
    assert f"| `{part}` |" in plan


def test_the_configuration_has_the_default_that_the_rules_give() -> None:
    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    (chosen,) = re.findall(r"the default of `data=folder` is `(\w+)`, over all parts", page)
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        assert compose("al_loop", ["data=folder"]).strategy.name == chosen

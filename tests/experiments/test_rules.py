"""The rules of the experiments were committed before the results, and have not changed since."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "docs/experiments.md"


def git(repository: Path, *words: str) -> str:
    command = ["git", "-C", str(repository), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rules_of(page: str) -> str:
    """Returns the section of rules; empty if there is none."""
    return page.partition("\n## Rules\n")[2].partition("\n## ")[0]


def tables_without_older_rules(repository: Path) -> list[str]:
    """Returns the committed tables before whose first commit the rules were not what they are."""
    rules = rules_of((repository / PAGE).read_text(encoding="utf-8"))
    found = []
    for table in git(repository, "ls-files", "docs/experiments/*.parquet").splitlines():
        added = git(repository, "log", "--diff-filter=A", "--format=%H", "--", table).split()
        if added:  # else it is not committed yet
            before = f"{added[-1]}^:{PAGE}"
            is_there = git(repository, "rev-list", "--parents", "-n1", added[-1]).split()[1:]
            if not (rules and is_there and rules_of(git(repository, "show", before)) == rules):
                found.append(table)
    return found


def test_the_rules_are_older_than_every_table() -> None:
    if (
        not (ROOT / ".git").exists()
        or git(ROOT, "rev-parse", "--is-shallow-repository") != "false\n"
    ):
        pytest.skip("needs the history of the repository")
    assert rules_of((ROOT / PAGE).read_text(encoding="utf-8"))
    assert tables_without_older_rules(ROOT) == []


RULES = "# Page\n\n## Rules\n\nHolm.\n\n## Results\n\n"


@pytest.mark.parametrize(
    ("commits", "is_fine"),
    [
        ([{PAGE: RULES}, {"docs/experiments/a.parquet": "1"}], True),
        ([{PAGE: RULES}, {"docs/experiments/a.parquet": "1", PAGE: RULES + "Good."}], True),
        ([{PAGE: RULES}, {"docs/experiments/a.parquet": "1"}, {PAGE: RULES + "More."}], True),
        ([{PAGE: RULES, "docs/experiments/a.parquet": "1"}], False),
        ([{PAGE: "# Page\n"}, {"docs/experiments/a.parquet": "1", PAGE: RULES}], False),
        (
            [
                {PAGE: RULES},
                {"docs/experiments/a.parquet": "1"},
                {PAGE: RULES.replace("Holm", "None")},
            ],
            False,
        ),
    ],
)
def test_younger_or_changed_rules_are_found(
    tmp_path: Path, commits: list[dict[str, str]], is_fine: bool
) -> None:
    git(tmp_path, "init", "-q")
    name = ["-c", "user.name=one", "-c", "user.email=one@example.com", "-c", "commit.gpgsign=false"]
    for files in commits:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, *name, "commit", "-qm", "one")
    assert tables_without_older_rules(tmp_path) == (
        [] if is_fine else ["docs/experiments/a.parquet"]
    )

"""CHANGELOG.md has the form of Keep a Changelog 1.1.0."""

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
VERSION = re.compile(r"## \[(?P<version>\d+\.\d+\.\d+)\] - (?P<day>\d{4}-\d\d-\d\d)( \[YANKED\])?")


def is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def problems(text: str) -> list[str]:
    """Returns what differs from the form, with the numbers of lines."""
    found, versions, kind = [], [], None
    lines = text.splitlines()
    if lines[0] != "# Changelog":
        found.append("1: the title")
    for number, line in enumerate(lines, 1):
        if line.startswith("## "):
            kind = None
            match = VERSION.fullmatch(line)
            if line == "## [Unreleased]" and not versions:
                versions.append(None)
            elif match and versions:
                versions.append((*map(int, match["version"].split(".")), match["day"]))
                found += [] if is_day(match["day"]) else [f"{number}: no such day"]
            else:
                found.append(f"{number}: {line}")
        elif line.startswith("#") and number > 1:
            kind = line.removeprefix("### ")
            if kind not in KINDS or not versions:
                found.append(f"{number}: {line}")
        elif line and versions and (kind is None or not re.match(r"- \S|  +\S", line)):
            found.append(f"{number}: an entry of no kind: {line}")
    released = versions[1:]
    found += [f"{b} after {a}" for a, b in pairwise(released) if a[:3] <= b[:3] or a[3] < b[3]]
    return found if versions else [*found, "no section [Unreleased]"]


def test_it_keeps_the_form() -> None:
    assert problems(TEXT) == []
    assert "keepachangelog.com/en/1.1.0" in TEXT


def test_it_says_whether_anything_was_released() -> None:
    released = VERSION.search(TEXT) is not None
    assert released != ("Nothing has been released yet." in TEXT)


GOOD = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-02-01

### Added

- One thing,
  in two lines.

## [0.1.0] - 2026-01-31

### Fixed

- Another.
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## [Unreleased]", "## Unreleased"),
        ("[0.2.0] - 2026-02-01", "[0.2.0] - 2026-02-31"),
        ("[0.2.0] - 2026-02-01", "[0.2.0] - February"),
        ("[0.2.0]", "[0.1.0]"),
        ("2026-02-01", "2026-01-01"),
        ("### Added", "### New"),
        ("### Added\n", ""),
        ("  in two", "in two"),
        ("# Changelog\n", "# Changes\n"),
    ],
)
def test_other_forms_are_found(old: str, new: str) -> None:
    assert problems(GOOD) == []
    assert old in GOOD
    assert problems(GOOD.replace(old, new, 1))

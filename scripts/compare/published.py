"""What of the documentation is made from tables of results, and whether it is still that.

``docs/experiments/PART.parquet`` are the tables. Pages and pictures beside them, the section
between two marks of ``docs/experiments.md`` and the last column of the table in
``docs/strategies.md`` are made from them by ``scripts/compare/publish.py``. The digests of all are
in ``docs/experiments/published.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError

BEGIN = "<!-- made by scripts/compare/publish.py: begin -->"
END = "<!-- made by scripts/compare/publish.py: end -->"
COLUMN = "where it helped in our own experiments"
NOT_MEASURED = "not measured yet"

_ROW = re.compile(r"^\| `(\w+)` \|.*\|$", re.MULTILINE)
_SECTION = re.compile(f"{re.escape(BEGIN)}\n(.*){re.escape(END)}", re.DOTALL)


def with_section(page: str, section: str) -> str:
    """Returns a page with other text between its marks."""
    _section_of(page)
    return _SECTION.sub(lambda _: f"{BEGIN}\n{section}{END}", page)


def with_column(page: str, cells: Mapping[str, str]) -> str:
    """Returns a page with other cells in the last column of its table of strategies.

    Args:
        page: Its rows begin with the name of a strategy; a row's heading ends with `COLUMN`.
        cells: Cells by strategy; others are `NOT_MEASURED`.
    """
    if f"| {COLUMN} |" not in page:
        raise BadgeError(f"docs/strategies.md: expected a table with a last column {COLUMN!r}")

    def changed(row: re.Match[str]) -> str:
        before = row[0].removesuffix(" |").rpartition(" | ")[0]
        return f"{before} | {cells.get(row[1], NOT_MEASURED)} |"

    return _ROW.sub(changed, page)


def digests(docs: Path) -> dict[str, str]:
    """Returns digests of all tables, and of all that is made from them, by name.

    Args:
        docs: Folder of the documentation.
    """
    column = "\n".join(
        row[0].removesuffix(" |").rpartition(" | ")[2]
        for row in _ROW.finditer((docs / "strategies.md").read_text(encoding="utf-8"))
    )
    section = _section_of((docs / "experiments.md").read_text(encoding="utf-8"))
    parts = {"experiments.md": section.encode(), "strategies.md": column.encode()}
    for path in made_files(docs):
        parts[f"experiments/{path.name}"] = path.read_bytes()
    return {
        name: hashlib.blake2b(parts[name], digest_size=16).hexdigest() for name in sorted(parts)
    }


def made_files(docs: Path) -> list[Path]:
    """Returns the tables, and the pages and pictures that are named like them."""
    folder = docs / "experiments"
    names = [path.stem for path in folder.glob("*.parquet")]
    made = {f"{name}{end}" for name in names for end in (".md", "_curves.png", "_penalties.png")}
    made |= {f"{name}.parquet" for name in names} | {"questions.md"}
    return sorted(path for path in folder.iterdir() if path.name in made)


def remember(docs: Path) -> None:
    """Writes the digests."""
    with replacing(_path(docs)) as temporary:
        temporary.write_text(json.dumps(digests(docs), indent=2) + "\n", encoding="utf-8")


def check_published(docs: Path) -> None:
    """Raises an error if something is not what was made from the tables.

    Raises:
        BadgeError: A table, page, picture, section or column that was changed, added or removed.
    """
    remembered = json.loads(_path(docs).read_text(encoding="utf-8"))
    now = digests(docs)
    differ = sorted(name for name in {*now, *remembered} if now.get(name) != remembered.get(name))
    if differ:
        raise BadgeError(
            f"docs: expected what was made from the tables of results, got other "
            f"{', '.join(differ)}; run python scripts/compare/publish.py"
        )


def _section_of(page: str) -> str:
    found = _SECTION.search(page)
    if found is None:
        raise BadgeError(f"docs/experiments.md: expected the lines {BEGIN!r} and {END!r}")
    return found[1]


def _path(docs: Path) -> Path:
    return docs / "experiments" / "published.json"

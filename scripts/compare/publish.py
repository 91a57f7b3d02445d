"""Makes the documentation of the experiments from their tables.

``python scripts/compare/publish.py --part linear_heads --table results.parquet`` takes over the
table of a part; without it, all is made again from the tables in ``docs/experiments/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import pyarrow as pa
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir

from compare.answers import (
    PARTS,
    QUESTIONS,
    column_of,
    default_of_all,
    default_sentence,
    section_of,
)
from compare.evidence_page import write_evidence
from compare.plan import planned_cells
from compare.published import made_files, remember, with_column, with_section
from compare.questions_page import answers_in, questions_page, sentences
from compare.shared_work import of_cells, stored
from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError

ROOT = Path(__file__).parents[2]


def take_over(source: Path, part: str, docs: Path) -> None:
    """Copies the table of a part into the documentation.

    Args:
        source: ``results.parquet`` of the part.
        part: Name of the part: a configuration in ``configs/experiment/``.
        docs: Folder of the documentation.

    Raises:
        BadgeError: A part that is not planned, rows that are not of its cells, or cells that are
            finished but not in the table yet.
    """
    if part not in PARTS:
        raise BadgeError(f"--part: expected one of {', '.join(PARTS)}, got {part!r}")
    pending = len(list(source.parent.glob("parts/*.parquet")))
    if pending:
        raise BadgeError(
            f"{source}: expected a table of all finished cells, got {pending} more in parts/; end "
            "the experiment, or run its command again, which merges them"
        )
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cells = planned_cells(compose("compare_strategies", [f"experiment={part}"]))
    table = stored(source)
    unknown = set(table["cell"].to_pylist()) - {cell.key for cell in cells}
    if unknown or not table.num_rows:
        raise BadgeError(
            f"{source}: expected rows of the {len(cells)} cells of {part}, got {table.num_rows} "
            f"rows with {len(unknown)} other cells"
        )
    folder = docs / "experiments"
    with replacing(folder / f"{part}.parquet") as temporary:
        pq.write_table(of_cells(table, len(cells)), temporary, compression="zstd")


def publish(docs: Path) -> str:
    """Makes pages, pictures, section and column from the tables in ``docs/experiments/``.

    Returns:
        What the default of ``data=folder`` is by the rules.
    """
    folder = docs / "experiments"
    tables: dict[str, pa.Table] = {
        part: stored(path) for part in PARTS if (path := folder / f"{part}.parquet").exists()
    }
    for part, table in tables.items():
        write_evidence(table, folder, part)
    answers = answers_in(list(tables.values()))
    path = folder / f"{QUESTIONS}.md"
    if page := questions_page(answers):
        _write(path, page)
    else:
        path.unlink(missing_ok=True)
    default = default_of_all(tables)
    experiments, strategies = docs / "experiments.md", docs / "strategies.md"
    section = section_of(tables, default, sentences(answers))
    _write(experiments, with_section(experiments.read_text(encoding="utf-8"), section))
    _write(strategies, with_column(strategies.read_text(encoding="utf-8"), column_of(tables)))
    remember(docs)
    return default_sentence(tables, default).strip()


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Parses the command line and makes the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, help="results.parquet of a part, to take over")
    parser.add_argument("--part", help=f"its name: {', '.join(PARTS)}")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the documentation")
    arguments = parser.parse_args()
    with one_line_errors():
        if (arguments.table is None) != (arguments.part is None):
            raise BadgeError("expected both --table and --part, or neither, got one of them")
        if arguments.table:
            take_over(arguments.table, arguments.part, arguments.docs)
        print(publish(arguments.docs))
        for path in made_files(arguments.docs):
            print(path)


if __name__ == "__main__":
    main()

"""Draws coverage against rank for ordering files.

``python scripts/draw/coverage.py runs/*/rounds/000/ordering.parquet --out coverage.png``
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the folder to import from is scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

from lightning_badge import Ordering, read_ordering
from lightning_badge.viz.coverage import draw_coverage


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("orderings", nargs="+", type=Path, help="ordering files")
    parser.add_argument("--out", type=Path, default=Path("coverage.png"), help="the picture")
    arguments = parser.parse_args()
    with one_line_errors():
        orderings = {
            f"{path.parent.name}, {size_of_pool(ordering)}": ordering
            for path in arguments.orderings
            for ordering in [read_ordering(path)]
        }
        draw_coverage(orderings).savefig(arguments.out)
    print(arguments.out)


def size_of_pool(ordering: Ordering) -> str:
    """Returns the pool's size in words."""
    return f"{ordering.metadata.get('n_pool', len(ordering)):,} in the pool"


if __name__ == "__main__":
    main()

"""Compares the volume of what a k-DPP and the strategies pick, on MNIST embeddings.

``python scripts/compare/diversity.py --mnist DIR`` prints a table and draws a picture.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the folder to import from is scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import numpy as np
from shared.pools import make_pool

from lightning_badge.research.k_dpp import compare_log_determinants
from lightning_badge.research.viz.log_determinant import draw_log_determinant

STRATEGIES = ("badge", "kmeans_pp_penultimate", "coreset", "entropy", "random")
SIZES = (5, 10, 20, 50, 100)


def main() -> None:
    """Reads the command line, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder with MNIST as Parquet")
    parser.add_argument("--n", type=int, default=2000, help="rows of the pool")
    parser.add_argument("--seeds", type=int, default=10, help="draws of each contestant")
    parser.add_argument("--out", type=Path, default=Path("diversity.png"), help="the picture")
    arguments = parser.parse_args()
    with one_line_errors():
        pool = make_pool("mnist", arguments.n, "cpu", arguments.mnist)
        values = compare_log_determinants(pool, STRATEGIES, SIZES, range(arguments.seeds))
        print("| log-determinant, mean (sd) |" + "".join(f" {k} picks |" for k in SIZES))
        print("|---|" + "---|" * len(SIZES))
        for name, table in values.items():
            cells = (f" {np.mean(c):.1f} ({np.std(c, ddof=1):.1f}) |" for c in table.T)
            print(f"| {name} |" + "".join(cells))
        title = f"MNIST, {arguments.n:,} samples, {arguments.seeds} seeds"
        draw_log_determinant(SIZES, values, reference="k-DPP", title=title).savefig(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()

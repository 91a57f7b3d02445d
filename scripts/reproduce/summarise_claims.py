"""Summarises several runs of ``reproduce_mnist.py``: mean and 95 % interval over the runs.

``python scripts/reproduce/summarise_claims.py runs/reproduce_mnist-seed*/claims.json`` prints a
Markdown table. A run's value is its mean over ordering seeds, so the interval is over training
seeds.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from reproduce.claims import in_words, interval


def main() -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="+", type=Path, help="claims.json of each run")
    runs = [read_claims(path) for path in parser.parse_args().claims]
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        sys.exit(f"error: expected runs with different seeds, got seeds {seeds}")
    print(summarise(runs))


def read_claims(path: Path) -> dict[str, Any]:
    """Reads the claims of a run."""
    try:
        claims: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {path}: expected a claims.json of reproduce_mnist.py: {error}")
    return claims


def summarise(runs: list[dict[str, Any]]) -> str:
    """Returns a table of all measurements, those with a claim first.

    Args:
        runs: Contents of each run's ``claims.json``.
    """
    lines = [
        f"| measured, over {len(runs)} training seeds | mean | 95 % interval | each run | holds |",
        "|---|---|---|---|---|",
    ]
    of_runs = list(zip(*(run["measurements"] for run in runs), strict=True))
    for several in sorted(of_runs, key=lambda several: several[0]["bound"] is None):
        means = [measured["mean"] for measured in several]
        center, low, high, *each = (
            in_words(value, several[0]["unit"]) for value in (mean(means), *interval(means), *means)
        )
        held = sum(bool(measured["holds"]) for measured in several)
        verdict = "" if several[0]["bound"] is None else f"in {held} of {len(several)}"
        lines.append(
            f"| {several[0]['name']} | {center} | {low} to {high} | {', '.join(each)} | {verdict} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

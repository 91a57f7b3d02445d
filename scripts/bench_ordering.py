"""Measures orderings against their peers: interleaved runs on the same data, ratios, counts.

``python scripts/bench_ordering.py --mnist DIR`` prints the table and writes ``bench_ordering.png``.
The correctness tests run first; on red there is no report. The machine may be busy: every
contestant of a comparison runs in turn, and median and minimum are given.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
from pathlib import Path

import torch
from bench_cases import CASES, Result
from bench_data import POOLS, make_pool
from bench_picture import draw_times

TESTS = ["tests/kernels", "tests/ordering", "tests/contract"]


def main() -> None:
    """Runs the cases that the command line asks for."""
    arguments = parse_arguments()
    if not arguments.untested:
        require_green()
    results = []
    for name in arguments.case or CASES:
        case = CASES[name]
        n = arguments.n or case.n
        pool = make_pool(case.data or arguments.data, n, arguments.device, arguments.mnist)
        result = case.run(pool, arguments.k or case.k, arguments.repeats)
        print(result.line(), flush=True)
        results.append(result)
    report(results, arguments)


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="*", choices=sorted(CASES), help="default: all")
    parser.add_argument("--data", choices=POOLS, default=None, help="default: what --mnist gives")
    parser.add_argument("--mnist", type=Path, help="folder with MNIST as Parquet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, help="rows, instead of the case's own")
    parser.add_argument("--k", type=int, help="ranks, instead of the case's own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--picture", type=Path, help="where to draw time against n")
    parser.add_argument("--untested", action="store_true", help="the tests have just run")
    arguments = parser.parse_args()
    arguments.data = arguments.data or ("mnist" if arguments.mnist else "concentrated")
    return arguments


def require_green() -> None:
    """Ends the program where the correctness tests fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", *TESTS]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"error: {' '.join(command[2:])} is red; no figures of wrong orderings")


def report(results: list[Result], arguments: argparse.Namespace) -> None:
    """Says on what machine that was, and writes the figures and the picture."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    threads = torch.get_num_threads()
    print(f"{platform.processor() or platform.machine()}, {threads} threads, peak {peak:.2f} GiB")
    if arguments.json:
        arguments.json.write_text(json.dumps([result.facts() for result in results], indent=2))
    if arguments.picture:
        draw_times(results, arguments.picture)


if __name__ == "__main__":
    main()

"""Compares the time of orderings with other implementations on the same data.

``python scripts/bench_ordering.py --mnist DIR`` prints every comparison; with ``--growth PICTURE``
it orders whole pools of 1,000 to 1,000,000 rows instead and draws time against rows. The
correctness tests run first; if they fail, nothing is measured. Because the machine may be busy, the
contestants of a comparison run in turn, and the median and minimum times are reported.

``--blocks`` measures our whole ordering of a case's pool, and prints what its blocks consist of.
``--phases`` measures the same on the CPU, phase by phase.
``--capture`` measures a pass over a pool, compared with bare inference of the same model.
``--summands`` measures what MaxHerding loses if its gains are sums over a sample of the pool.
``--rates`` measures single kernels, compared with a matrix product and a copy on the same device.
``--compile-report`` compiles the Triton kernels instead, which needs no GPU.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from bench.blocks import print_blocks
from bench.capture import print_capture
from bench.cases import CASES, GROWTH, Result
from bench.compile import compile_report
from bench.memory import print_memory
from bench.phases import print_phases
from bench.picture import draw_times
from bench.rates import print_rates
from bench.summands import print_summands
from shared.pools import POOLS, make_pool, mnist_activations

TESTS = ["tests/kernels", "tests/ordering", "tests/contract", "tests/statistical"]


def main() -> None:
    """Runs the cases selected on the command line."""
    arguments = parse_arguments()
    if arguments.compile_report:
        sys.exit(require_triton() or not compile_report())
    if not arguments.untested:
        require_green()
    if arguments.capture:
        print_capture(arguments.device, arguments.repeats)
        return
    if arguments.rates:
        print_rates(arguments.device, arguments.repeats, arguments.rates)
        return
    if arguments.save_embeddings:
        save_mnist(arguments.mnist, arguments.save_embeddings)
        return
    results = []
    for name in arguments.case or (GROWTH if arguments.growth else CASES):
        case = (CASES | GROWTH)[name]
        n = arguments.n or case.n
        pool = make_pool(
            case.data or arguments.data, n, arguments.device, arguments.mnist, arguments.embeddings
        )
        if arguments.summands:
            print_summands(pool)
            continue
        if arguments.blocks:
            print_blocks(pool, arguments.repeats)
            continue
        if arguments.phases:
            print_phases(pool, arguments.k or case.k, arguments.repeats)
            continue
        if arguments.memory:
            print_memory(pool, arguments.k or case.k)
            continue
        result = case.run(pool, arguments.k or case.k, arguments.repeats)
        print(result.line(), flush=True)
        print(f"  peak memory of the process so far: {peak_memory():.2f} GiB", flush=True)
        results.append(result)
    report(results, arguments)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="*", choices=[*CASES, *GROWTH], help="default: all")
    parser.add_argument(
        "--data", choices=POOLS, help="default: that of --embeddings or --mnist, else concentrated"
    )
    parser.add_argument("--mnist", type=Path, help="folder with MNIST as Parquet")
    parser.add_argument(
        "--embeddings", type=Path, metavar="FILE", help="file with penultimate and logits to order"
    )
    parser.add_argument(
        "--save-embeddings",
        type=Path,
        metavar="FILE",
        help="embed MNIST and write an .npz file for --embeddings; nothing is measured",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, help="number of rows; default: that of the case")
    parser.add_argument("--k", type=int, help="number of ranks; default: that of the case")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument(
        "--growth", type=Path, metavar="PICTURE", help="order whole pools of growing size and draw"
    )
    parser.add_argument(
        "--compile-report",
        action="store_true",
        help="registers, shared memory and spills of the Triton kernels; fails on spills",
    )
    parser.add_argument(
        "--rates",
        type=float,
        nargs="?",
        const=1.0,
        metavar="SHARE",
        help="measure arithmetic and bandwidth of the kernels, on this share of a million rows",
    )
    parser.add_argument(
        "--capture", action="store_true", help="measure a pass over a pool and bare inference"
    )
    parser.add_argument(
        "--blocks",
        action="store_true",
        help="measure only our whole ordering of the case's pool, by kernels and calls",
    )
    parser.add_argument(
        "--phases",
        action="store_true",
        help="measure only our ordering of the case's pool on the CPU, phase by phase",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="measure only what our ordering of the case's pool needs beyond the factors (Linux)",
    )
    parser.add_argument(
        "--summands",
        action="store_true",
        help="measure only what samples of summands lose on the case's pool",
    )
    parser.add_argument("--untested", action="store_true", help="skip the correctness tests")
    arguments = parser.parse_args()
    given = "file" if arguments.embeddings else "mnist" if arguments.mnist else "concentrated"
    arguments.data = arguments.data or given
    return arguments


def save_mnist(mnist: Path | None, file: Path) -> None:
    """Writes the embeddings of MNIST, for a machine without the data or the packages to read it."""
    if mnist is None:
        sys.exit("error: --save-embeddings needs --mnist DIR")
    activations, logits = mnist_activations(mnist)
    np.savez_compressed(file, penultimate=activations.numpy(), logits=logits.numpy())


def require_green() -> None:
    """Exits if the correctness tests fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", *TESTS]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"error: {' '.join(command[2:])} failed; wrong orderings are not measured")


def require_triton() -> str | None:
    """Returns why the Triton kernels cannot be compiled on this machine, or None."""
    if find_spec("triton") is None:
        return "error: triton is not installed; pip install 'lightning-badge[triton]'"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "error: TRITON_INTERPRET=1 interprets kernels instead of compiling them; unset it"
    return None


def report(results: list[Result], arguments: argparse.Namespace) -> None:
    """Prints the machine, and writes the results and the picture."""
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")
    if arguments.json:
        arguments.json.write_text(json.dumps([result.facts() for result in results], indent=2))
    if arguments.growth:
        draw_times(results, arguments.growth)


def peak_memory() -> float:
    """Returns the largest resident size of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()

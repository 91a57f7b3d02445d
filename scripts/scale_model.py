"""The cost of an ordering, from a simple model: time, memory and bytes on the wire.

``python scripts/scale_model.py n=1e8 h=2048 c=1000 k=1e5 world=64`` prints one pool;
``--table`` the pools of docs/scale.md; ``--partition FILE.npz`` what is lost if the pool in a file
is cut at random; ``--scaling FILE.npz`` orders that pool by one process and by two; ``--check``
compares the model with orderings of synthetic pools here, ``--check 0 3`` with two of them, and
``--measure n=1e6 h=256 c=10 k=1e4`` with a pool of that size.
"""

import argparse
import os
from pathlib import Path

from scale.check import print_check, print_measured
from scale.model import Machine, Pool, cost, table
from scale.partition import print_partition
from scale.scaling import print_scaling

from lightning_badge.embedding_files import read_embedding


def main() -> None:
    """Prints what the command line asks for."""
    arguments = parse_arguments()
    machine = Machine(cores=arguments.cores)
    if arguments.table:
        print(table(machine))
    elif arguments.partition:
        print_partition(read_embedding(file=arguments.partition), arguments.k, arguments.seeds)
    elif arguments.scaling:
        print_scaling(arguments.scaling, None, [1, 2], repeats=3)
    elif arguments.measure:
        print_measured(Pool.parse(arguments.pool), machine)
    elif arguments.check:
        print_check(machine, [int(number) for number in arguments.pool])
    else:
        print(cost(Pool.parse(arguments.pool), machine).line())


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", nargs="*", help="n=..., and h=, c=, k=, world=")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of each process")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--partition", type=Path, metavar="FILE")
    parser.add_argument("--scaling", type=Path, metavar="FILE")
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()

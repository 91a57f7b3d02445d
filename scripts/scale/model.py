"""A model of what an ordering by ``badge`` costs on CPUs: time, memory and bytes on the wire.

Its constants are fitted to orderings of synthetic pools on one machine; `scale.check` repeats
these. ``d = h + c`` is the number of floats in a row.
"""

from dataclasses import dataclass, fields

BLOCK_LIMITS = {False: 1024, True: 4096}  # of the numba back end; the key is whether it is large
LARGE_POOL = 200_000
FIRST_BLOCKS = 10  # blocks that are smaller than the limit, from 8 candidates on
CANDIDATES = 1.25  # drawn for each rank; the others are rejected
CANDIDATE_BYTES = 40  # of a candidate beside its factors
RUN_BYTES = 8  # the sum of the masses of a run of rows, in each block
COLLECTIVES = 3  # in a block: the largest mass, the masses of the runs, the candidates
COLLECTIVES_ONCE = 8  # at the start, and for the columns of the result
ROW_BYTES = 150  # of a row beside its factors
FIXED_BYTES = 80 * 2**20  # temporaries, whatever the size of the pool
POOL_BYTES = 9  # of each row of the whole pool, on every process: its id, and whether it remains


@dataclass(frozen=True)
class Pool:
    """A pool to be ordered.

    Attributes:
        n: Number of rows.
        h: Width of the activations.
        c: Number of classes.
        k: Ranks; 0 for the whole pool.
        world: Number of processes.
        batch: Rows of a batch, which are a run of one process.
    """

    n: float
    h: float = 256
    c: float = 10
    k: float = 0
    world: float = 1
    batch: float = 256

    @classmethod
    def parse(cls, arguments: list[str]) -> "Pool":
        """Reads arguments such as ``n=1e6``."""
        names = [field.name for field in fields(cls)]
        values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        if len(values) < len(arguments) or "n" not in values or set(values) - set(names):
            raise SystemExit(f"error: expected n=..., and any of {', '.join(names)} as NAME=NUMBER")
        return cls(**{name: float(value) for name, value in values.items()})

    @property
    def ranks(self) -> float:
        """Number of ranks."""
        return min(self.k or self.n, self.n)


@dataclass(frozen=True)
class Machine:
    """What one process can do.

    Attributes:
        cores: CPU cores of each process.
        bound_s: Core seconds to rule out one pair of rows by its bounds.
        multiplied: Share of the pairs that bounds do not rule out.
        scattered: Floating point operations a core does in a second for single pairs.
        dense: The same for products of matrices.
        block_s: Core seconds of each block, whatever its size.
        bandwidth: Bytes a second between processes.
        latency_s: Seconds of a collective.
    """

    cores: int = 2
    bound_s: float = 1.5e-9
    multiplied: float = 0.01
    scattered: float = 3.7e9
    dense: float = 10e9
    block_s: float = 0.012
    bandwidth: float = 1.25e9
    latency_s: float = 1e-4


@dataclass(frozen=True)
class Cost:
    """What an ordering costs each process.

    Attributes:
        core_s: Core seconds of each process.
        seconds: Time: core seconds on all cores, and communication.
        memory: Bytes beyond imports.
        payload: Bytes that each process gives to collectives.
        wire: Bytes that each process sends, if collectives go around a ring.
        blocks: Number of blocks.
        collectives: Number of collectives.
    """

    core_s: float
    seconds: float
    memory: float
    payload: float
    wire: float
    blocks: float
    collectives: float

    def line(self) -> str:
        """Formats the cost for the terminal."""
        return (
            f"{duration(self.seconds)} ({duration(self.core_s)} of a core), "
            f"{size(self.memory)} of memory, {self.blocks:,.0f} blocks, "
            f"{self.collectives:,.0f} collectives, {size(self.wire)} sent; each process"
        )


def cost(pool: Pool, machine: Machine) -> Cost:
    """Returns the cost of an ordering.

    A center is compared with every row that remains, so a whole pool has about 2/3 n^2 pairs;
    rows that were chosen are dropped from time to time, not at once.
    """
    n, d, k, w = pool.n, pool.h + pool.c, pool.ranks, pool.world
    pairs = k * n - k * k / 3
    limit = min(BLOCK_LIMITS[n >= LARGE_POOL], max(k, 8))
    candidates = CANDIDATES * k
    blocks = FIRST_BLOCKS + candidates / limit
    own = pairs / w * (machine.bound_s + machine.multiplied * 2 * d / machine.scattered)
    coverage = 2 * n / w * pool.c * pool.h / machine.dense
    accept = candidates * limit * d / machine.dense  # on every process
    core_s = own + coverage + accept + blocks * machine.block_s
    payload, collectives = traffic(candidates, blocks, d, n / pool.batch) if w > 1 else (0.0, 0.0)
    wire = payload * 2 * (w - 1) / w
    seconds = core_s / machine.cores + wire / machine.bandwidth + collectives * machine.latency_s
    memory = FIXED_BYTES + n / w * (4 * d + ROW_BYTES) + (POOL_BYTES * n if w > 1 else 0)
    return Cost(core_s, seconds, memory, payload, wire, blocks, collectives)


def traffic(candidates: float, blocks: float, d: float, runs: float) -> tuple[float, float]:
    """Returns the bytes that each process gives to collectives, and the number of these.

    Args:
        candidates: Number of rows that were drawn, in all blocks.
        blocks: Number of blocks.
        d: Floats in a row.
        runs: Number of batches of the pool, whose masses are summed in each block.
    """
    payload = candidates * (4 * d + CANDIDATE_BYTES) + blocks * RUN_BYTES * (runs + 1)
    return payload, blocks * COLLECTIVES + COLLECTIVES_ONCE


def table(machine: Machine) -> str:
    """Returns the table of docs/scale.md in Markdown."""
    lines = [
        f"| rows | floats a row | ranks | processes | time, {machine.cores} cores each | memory "
        "each | sent by each |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in (1e6, 1e7, 1e8, 1e9):
        for h, c in ((256, 10), (2048, 1000)):
            for k in (1e4, n):
                for world in (1, 16, 256):
                    found = cost(Pool(n, h, c, k, world), machine)
                    ranks = "all" if k == n else f"{k:,.0f}"
                    sent = size(found.wire) if world > 1 else "-"
                    lines.append(
                        f"| {n:,.0f} | {h + c:,} | {ranks} | {world} | "
                        f"{duration(found.seconds)} | {size(found.memory)} | {sent} |"
                    )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Formats seconds with two digits, in the largest fitting unit."""
    for unit, length in (("years", 31_557_600.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{float(f'{seconds / length:.2g}'):,g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"


def size(count: float) -> str:
    """Formats bytes with two digits, in the largest fitting unit."""
    for unit, length in (("PiB", 2**50), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= length:
            return f"{float(f'{count / length:.3g}'):,g} {unit}"
    return f"{count:,.0f} bytes"

"""Throughput of the kernels on a device: arithmetic of the update, bandwidth of the embedding."""

import time
from collections.abc import Callable
from statistics import median

import torch

from lightning_badge.kernels import Factors
from lightning_badge.kernels.registry import resolve_backend

ROWS, CENTERS = 1_000_000, 1_024
CLASSES, WIDTH = 10, 256
# Number of classes of the embedding: number of rows, chosen for a few gigabytes of data.
EMBEDDINGS = {1_000: 500_000, 32_000: 32_000}
EMBEDDED_WIDTH = 512


def print_rates(device: str, repeats: int, share: float = 1.0) -> None:
    """Prints the throughput of the kernels and of plain torch on the same device.

    Args:
        device: The device to measure.
        repeats: Number of measurements; contestants run in turn.
        share: Share of the rows to use; less than 1 for a device with little memory.
    """
    backend = resolve_backend("auto", device)
    generator = torch.Generator(device).manual_seed(0)
    n, m = int(ROWS * share), CENTERS
    rows = Factors.of(
        torch.randn(n, CLASSES, device=device, generator=generator),
        torch.randn(n, WIDTH, device=device, generator=generator),
    )
    centers, positions = rows.take(slice(0, m)), torch.arange(n, device=device)
    known = torch.full_like(rows.sq_norm, torch.inf)
    product = torch.empty(8192, m, device=device)

    def update() -> None:
        known.fill_(torch.inf)
        backend.update(known, rows, positions, centers, prune=False)

    def multiply() -> None:
        for start in range(0, n - 8191, 8192):
            part = slice(start, start + 8192)
            torch.matmul(rows.penultimate[part], centers.penultimate.T, out=product)

    seconds = _in_turn({"update": update, "multiply": multiply}, device, repeats)
    flops = {
        "update": 2 * n * m * (CLASSES + WIDTH),
        "multiply": 2 * (n // 8192 * 8192) * m * WIDTH,
    }
    rates = {name: flops[name] / seconds[name] / 1e12 for name in flops}
    print(
        f"update_min_sq_dist, dense, {n:,} x {m:,}, {CLASSES} + {WIDTH}, {backend.name}: "
        f"{rates['update']:.3f} TFLOP/s; torch's float32 product: {rates['multiply']:.3f}"
    )
    for c, whole in EMBEDDINGS.items():
        n = int(whole * share)
        logits = torch.randn(n, c, device=device, generator=generator)
        penultimate = torch.randn(n, EMBEDDED_WIDTH, device=device, generator=generator)
        copy = torch.empty_like(logits)

        def embed(logits: torch.Tensor = logits, penultimate: torch.Tensor = penultimate) -> None:
            backend.embed(penultimate, logits, loss="cross_entropy")

        def copying(logits: torch.Tensor = logits, copy: torch.Tensor = copy) -> None:
            copy.copy_(logits)

        seconds = _in_turn({"embed": embed, "copy": copying}, device, repeats)
        moved = {"embed": 4 * n * (2 * c + EMBEDDED_WIDTH), "copy": 8 * n * c}
        rates = {name: moved[name] / seconds[name] / 1e9 for name in moved}
        print(
            f"logit_grad_and_sq_norm, {n:,} x {c:,}, {backend.name}: {rates['embed']:.1f} GB/s, "
            f"{rates['embed'] / rates['copy']:.0%} of a copy's {rates['copy']:.1f}"
        )


def _in_turn(
    contestants: dict[str, Callable[[], None]], device: str, repeats: int
) -> dict[str, float]:
    """Returns the median seconds of each contestant, after one warm-up each."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            _wait(device)
            started = time.perf_counter()
            run()
            _wait(device)
            if repeat:
                taken[name].append(time.perf_counter() - started)
    return {name: median(seconds) for name, seconds in taken.items()}


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)

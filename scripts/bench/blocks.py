"""What the blocks of a whole ordering cost: calls, host syncs, and the time of each kernel."""

import time
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from lightning_badge import GradientEmbedding
from lightning_badge.ordering import LazyOrdering

KERNELS = 12
# Names of the runtime's calls that let the host wait for the device.
SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def print_blocks(pool: GradientEmbedding, repeats: int) -> None:
    """Prints how long a whole ordering takes, and what its blocks consist of.

    Args:
        pool: The pool, on the device to measure.
        repeats: Number of orderings that are timed; one more is profiled.
    """
    device = pool.logit_grad.device
    order_all(pool)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        counters = order_all(pool)
        seconds.append(time.perf_counter() - started)
    blocks = counters.blocks
    print(f"{_name(device)}, torch {torch.__version__}")
    print(
        f"whole order of {len(pool):,}: median {1e3 * median(seconds):.1f} ms, minimum "
        f"{1e3 * min(seconds):.1f} ms; {blocks:,} blocks, {counters.candidates:,} candidates, "
        f"{counters.multiplied / max(counters.pairs, 1):.2%} of the pairs multiplied"
    )
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        order_all(pool)
    events: list[Any] = list(recorded.key_averages())
    calls = sum(event.count for event in events if event.key.startswith("aten::"))
    launches = sum(event.count for event in events if "LaunchKernel" in event.key)
    syncs = sum(event.count for event in events if event.key in SYNCS)
    print(
        f"per block: {calls / blocks:.0f} calls of ATen, nested ones included, "
        f"{launches / blocks:.0f} launches, {syncs / blocks:.1f} syncs"
    )
    on_device = device.type == "cuda"
    time_of = "self_device_time_total" if on_device else "self_cpu_time_total"
    print("ms on the device, calls, kernel:" if on_device else "ms, calls, operation:")
    for event in sorted(events, key=lambda event: -getattr(event, time_of))[:KERNELS]:
        print(f"  {getattr(event, time_of) / 1e3:9.2f} {event.count:7,} {event.key[:70]}")


def order_all(pool: GradientEmbedding) -> Any:
    """Orders the whole pool and returns the counters of the work."""
    lazy = LazyOrdering(pool)
    lazy.take()
    return lazy.counters


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"

"""The benchmark's picture: time against the number of rows, both logarithmic."""

from collections import defaultdict
from pathlib import Path
from statistics import median

from bench.cases import Result


def draw_times(results: list[Result], path: Path) -> None:
    """Draws one line per contestant from all full orderings; extrapolated points are hollow."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    points: dict[str, list[tuple[int, float, bool]]] = defaultdict(list)
    for result in results:
        if result.k == result.n:
            for name, seconds in result.seconds.items():
                points[name].append((result.n, median(seconds), name in result.extrapolated))
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for (name, line), colour in zip(points.items(), mpl.color_sequences["petroff6"], strict=False):
        line.sort()
        axes.plot([n for n, _, _ in line], [s for _, s, _ in line], color=colour, label=name)
        for n, middle, hollow in line:
            axes.plot(n, middle, "o", color=colour, markerfacecolor="white" if hollow else colour)
    axes.set(xscale="log", yscale="log", xlabel="rows of the pool", ylabel="seconds, whole pool")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)

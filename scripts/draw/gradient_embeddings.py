"""Draws a toy pool and its gradient embeddings, with the first picks of two strategies.

``python scripts/draw/gradient_embeddings.py --out gradient_embeddings.png``

With two activations and two classes, the gradient of the head's weight is the same vector of two
numbers in both rows, with opposite signs. So the picture shows the embeddings without a projection.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by path: imports are relative to scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import numpy as np
import torch

from lightning_badge import GradientEmbedding, order
from lightning_badge.viz.style import COLORS, FAINT, INK, clean

PICKS = 9
WEIGHT = torch.tensor([[1.6, -0.96], [-1.6, 0.96]])
CLUSTERS = ((2.6, 0.9), (0.9, 2.9), (1.7, 2.3), (0.6, 0.8), (2.6, 3.7))


def main() -> None:
    """Parses the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gradient_embeddings.png"))
    arguments = parser.parse_args()
    with one_line_errors():
        draw(toy_pool()).savefig(arguments.out, dpi=130)
    print(arguments.out)


def toy_pool() -> GradientEmbedding:
    """Returns 600 points in five clusters, as activations, and the logits of a fixed head."""
    rng = np.random.default_rng(0)
    spread = [0.35, 0.3, 0.25, 0.2, 0.35]
    points = [rng.normal(c, s, (120, 2)) for c, s in zip(CLUSTERS, spread, strict=True)]
    activations = torch.from_numpy(np.concatenate(points).clip(0)).float()
    return GradientEmbedding.from_logits(activations, activations @ WEIGHT.T)


def draw(pool: GradientEmbedding) -> Any:
    """Returns a figure: activations on the left, gradient embeddings on the right."""
    from matplotlib.figure import Figure

    assert pool.hallucinated_label is not None
    activations = pool.penultimate.numpy()
    # The first of the two rows of the gradient; the second one is minus it.
    gradients = (pool.logit_grad[:, :1] * pool.penultimate).numpy()
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, points in ((left, activations), (right, gradients)):
        for label in (0, 1):
            rows = points[pool.hallucinated_label.numpy() == label]
            name = f"predicted class {label}"
            axes.scatter(*rows.T, s=14, color=COLORS[label], alpha=0.35, lw=0, label=name)
        mark(axes, points, pool, "entropy", COLORS[2], "s")
        mark(axes, points, pool, "badge", INK, "o")
        clean(axes)
        axes.grid(visible=False)
    edge = np.array([0.0, 2.7])
    left.plot(edge, edge / 0.6, color=INK, lw=1, ls="--", label="decision boundary")
    left.set(ylim=(-0.15, 4.6), title="activations that enter the head")
    right.axhline(0, color=FAINT, lw=0.8, zorder=0)
    right.axvline(0, color=FAINT, lw=0.8, zorder=0)
    right.set_title("gradient embeddings: confident samples lie at the origin")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=10, frameon=False)
    return figure


def mark(
    axes: Any, points: Any, pool: GradientEmbedding, strategy: str, color: str, marker: str
) -> None:
    """Marks the first picks of a strategy, and numbers those of BADGE."""
    picks = points[list(order(pool, strategy, k=PICKS, seed=4))]
    name = f"first {PICKS} of {strategy}"
    axes.scatter(*picks.T, s=60, facecolors="none", edgecolors=color, marker=marker, label=name)
    for number, point in enumerate(picks if strategy == "badge" else (), start=1):
        axes.annotate(str(number), point, xytext=(6, 5), textcoords="offset points", fontsize=10)


if __name__ == "__main__":
    main()

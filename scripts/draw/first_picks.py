"""Draws the first picks of every strategy on a toy pool with two activations and three classes.

``python scripts/draw/first_picks.py --out first_picks.png``
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
from torch import Tensor, nn

from lightning_badge import STRATEGIES, GradientEmbedding, order
from lightning_badge.viz.style import COLORS, FAINT, INK

PICKS, PER_CLASS, SAMPLES, COLUMNS = 12, 150, 40, 5
# The order of the table in docs/strategies.md.
NAMES = (
    *("badge", "badge_labeled", "kmeans_pp_penultimate", "coreset", "maxherding"),
    *("uherding", "typiclust", "probcover", "entropy", "margin"),
    *("least_confidence", "bald", "batchbald", "random"),
)


def main() -> None:
    """Parses the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("first_picks.png"), help="the picture")
    arguments = parser.parse_args()
    with one_line_errors():
        draw().savefig(arguments.out, dpi=110)
    print(arguments.out)


def draw() -> Any:
    """Trains a head on nine labels and returns a figure with one map for each strategy."""
    from matplotlib.figure import Figure

    points, classes = toy_points()
    labeled = torch.cat([torch.arange(3) + PER_CLASS * number for number in range(3)])
    unlabeled = torch.ones(len(points), dtype=torch.bool)
    unlabeled[labeled] = False
    head = trained_head(points[labeled], classes[labeled])
    pool = embedding_of(points[unlabeled], head)
    known: dict[str, Any] = {
        "labeled": embedding_of(points[labeled], head),
        "posterior": posterior_of(points[unlabeled], head),
    }
    figure = Figure(figsize=(13, 8.2), layout="constrained")
    cells = figure.subplots(-(-len(NAMES) // COLUMNS), COLUMNS).flatten()
    for axes, name in zip(cells, NAMES, strict=False):
        draw_classes(axes, head)
        axes.scatter(*pool.penultimate[:, :2].T, s=5, color="#888888", alpha=0.5, lw=0)
        axes.scatter(*points[labeled].T, s=28, marker="x", color=INK, lw=1.2)
        uses = {key: known[key] for key in STRATEGIES[name].uses}
        draw_picks(axes, pool, [*order(pool, name, k=PICKS, seed=1, **uses)])
        axes.set_title(name, fontsize=12)
    for axes in cells[len(NAMES) :]:
        axes.set_axis_off()
    return figure


def toy_points() -> tuple[Tensor, Tensor]:
    """Returns points ``[n, 2]`` and their classes ``[n]``; one of the three has two parts."""
    rng = np.random.default_rng(3)
    parts = [
        [((1.0, 1.0), 0.45, 150)],
        [((3.2, 1.4), 0.5, 110), ((4.3, 3.6), 0.25, 40)],
        [((1.9, 3.4), 0.6, 150)],
    ]
    points = [rng.normal(at, sd, (n, 2)) for part in parts for at, sd, n in part]
    classes = torch.arange(3).repeat_interleave(PER_CLASS)
    return torch.from_numpy(np.concatenate(points).clip(0.0)).float(), classes


def trained_head(points: Tensor, classes: Tensor) -> nn.Linear:
    """Returns a linear head that is fitted to the labeled points, with some weight decay."""
    torch.manual_seed(0)
    head = nn.Linear(2, 3)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = nn.functional.cross_entropy(head(points), classes)
        loss = loss + 0.02 * head.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return head.requires_grad_(False)


def embedding_of(points: Tensor, head: nn.Linear) -> GradientEmbedding:
    """Returns the gradient embedding of points, which are their own activations."""
    return GradientEmbedding.from_logits(points, head(points), bias=True)


def posterior_of(points: Tensor, head: nn.Linear) -> Tensor:
    """Returns class probabilities ``[n, samples, 3]`` of heads with perturbed weights."""
    generator = torch.Generator().manual_seed(0)
    logits = []
    for _ in range(SAMPLES):
        weight = head.weight + 0.3 * torch.randn(3, 2, generator=generator)
        bias = head.bias + 0.6 * torch.randn(3, generator=generator)
        logits.append(points @ weight.T + bias)
    return torch.stack(logits, dim=1).softmax(dim=2)


def draw_classes(axes: Any, head: nn.Linear) -> None:
    """Colours the plane by the predicted class."""
    x, y = np.meshgrid(np.linspace(-0.3, 5.3, 160), np.linspace(-0.3, 5.3, 160))
    grid = torch.from_numpy(np.stack([x.ravel(), y.ravel()], axis=1)).float()
    label = head(grid).argmax(dim=1).reshape(x.shape).numpy()
    axes.contourf(x, y, label, levels=[-0.5, 0.5, 1.5, 2.5], colors=COLORS[:3], alpha=0.13)
    axes.set(xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def draw_picks(axes: Any, pool: GradientEmbedding, positions: list[Any]) -> None:
    """Numbers the first picks."""
    for number, position in enumerate(positions, start=1):
        point = pool.penultimate[int(position), :2].numpy()
        axes.scatter(*point, s=95, color=INK, zorder=3, lw=0)
        style = {"ha": "center", "va": "center_baseline", "fontsize": 7, "color": "white"}
        axes.annotate(str(number), point, zorder=4, **style)


if __name__ == "__main__":
    main()

"""A 2-D map of a pool: landmark MDS (de Silva & Tenenbaum 2004) of its gradient embeddings.

Classical MDS of a few landmarks defines the plane; every other row is placed by its distances to
them. Distances are computed from the two factors of the embeddings, without dense vectors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.pairwise import pairwise_sq_dist
from lightning_badge.ordering import order
from lightning_badge.research.viz.placement import apart, outermost
from lightning_badge.sample_ids import positions_of
from lightning_badge.viz.style import INK, class_color, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_BLOCK = 4096
# Eigenvalues below this share of the largest one are rounding errors of zero eigenvalues.
_FLAT_BELOW = 1e-10


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Coordinates of a pool in the plane.

    Attributes:
        coordinates: ``[n, 2]`` float64; the origin is the place of an all-zero embedding.
        shown: Share of the landmarks' scatter that the two axes explain.
    """

    coordinates: npt.NDArray[np.float64]
    shown: float


def map_embedding(
    embedding: GradientEmbedding, *, landmarks: int = 500, seed: int = 0
) -> EmbeddingMap:
    """Places a pool in the plane, preserving distances to its landmarks as well as possible.

    The landmarks are the first ranks of a k-means++ ordering, so that distant and rare rows are
    among them. With ``m`` landmarks the time is O(n m (c + h)); rows are placed in blocks, so the
    memory beyond the result is O(m^2) and does not grow with ``n``.

    Args:
        embedding: The pool, ``n`` rows.
        landmarks: Number of landmarks; with one per row the result is classical MDS.
        seed: Seeds the draw of the landmarks.

    Returns:
        The map. On each axis the landmark farthest from the mean of the landmarks has a positive
        coordinate relative to that mean.

    Raises:
        BadgeError: There are fewer than two landmarks, or the pool is empty.

    Example:
        >>> corners = torch.tensor([[0.0, 0.0, 3.0], [4.0, 0.0, 0.0], [4.0, 0.0, 3.0]])
        >>> places = map_embedding(GradientEmbedding.from_dense(corners)).coordinates
        >>> sides = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
        >>> [round(float(side), 6) for side in sides]
        [4.0, 5.0, 3.0]
    """
    if landmarks < 2 or not len(embedding):
        raise BadgeError(
            "embedding map: expected at least two landmarks and a pool that is not empty, got "
            f"{landmarks} landmarks and {len(embedding)} rows"
        )
    rows = embedding.factors
    chosen = rows.take(_first_ranks(embedding, landmarks, seed))
    sq_dist = pairwise_sq_dist(chosen, chosen)
    pseudo_inverse, shown = _classical_mds(sq_dist)
    places = []
    for start in range(0, len(rows), _ROW_BLOCK):
        block = pairwise_sq_dist(rows.take(slice(start, start + _ROW_BLOCK)), chosen)
        # Triangulation (section 2.2) relative to an all-zero embedding, whose squared distances to
        # the landmarks are their squared norms; this places it at the origin.
        places.append((chosen.sq_norm - block) @ pseudo_inverse.T / 2)
    return EmbeddingMap(torch.cat(places).cpu().numpy(), shown)


def _first_ranks(embedding: GradientEmbedding, k: int, seed: int) -> Tensor:
    first = order(embedding, k=k, seed=seed).sample_ids
    positions = np.sort(positions_of(first, embedding.sample_ids))
    return torch.from_numpy(positions).to(embedding.sq_norm.device)


def _classical_mds(sq_dist: Tensor) -> tuple[Tensor, float]:
    """Returns the pseudo-inverse of the landmarks' coordinates ``[2, m]`` and the share shown."""
    centered = sq_dist - sq_dist.mean(dim=0, keepdim=True)
    centered = -(centered - centered.mean(dim=1, keepdim=True)) / 2
    values, vectors = torch.linalg.eigh(centered)
    values, vectors = values.flip(0), vectors.flip(1)
    axes, scale = vectors[:, :2].T, values[:2, None]
    sign = torch.sign(axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)))
    is_flat = scale <= _FLAT_BELOW * values[0].clamp(min=torch.finfo(values.dtype).tiny)
    pseudo_inverse = (sign * axes / scale.abs().sqrt()).masked_fill(is_flat, 0.0)
    positive = values.clamp(min=0.0)
    total = float(positive.sum())
    shown = float(positive[:2].sum()) / total if total > 0.0 else 1.0
    # A single landmark has only one axis: pad to two.
    return functional.pad(pseudo_inverse, (0, 0, 0, 2 - len(pseudo_inverse))), shown


def draw_embedding_map(
    places: npt.NDArray[np.float64],
    labels: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    picks: Sequence[int] = (),
    unseen: Collection[int] = (),
    title: str | None = None,
) -> Figure:
    """Draws a map coloured by class, with class names at some of the outer rows.

    Axes are equal and linear. A dashed circle around the origin contains 90 % of the rows.

    Args:
        places: Coordinates ``[n, 2]`` of a map.
        labels: Classes ``[n]``.
        class_names: Names of all classes.
        picks: Rows to number from 1, in the order of their ranks.
        unseen: Classes without training samples; they are marked.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 7 inches, white background.

    Raises:
        BadgeError: ``places`` is not ``[n, 2]``, or the number of labels differs.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    fill_embedding_map(axes, places, labels, class_names, unseen=unseen, faint=len(picks) > 0)
    axes.legend(frameon=False, fontsize=11, labelcolor=INK, loc="upper right", handletextpad=0.1)
    if len(picks):
        colors = [class_color(label) for label in np.asarray(labels)[list(picks)]]
        _number(axes, places[list(picks)], colors)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure


def fill_embedding_map(
    axes: Axes,
    places: npt.NDArray[np.float64],
    labels: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    unseen: Collection[int] = (),
    faint: bool = False,
) -> None:
    """Draws the map of `draw_embedding_map` into axes, without a legend.

    Args:
        axes: Empty axes.
        places: Coordinates ``[n, 2]`` of a map.
        labels: Classes ``[n]``.
        class_names: Names of all classes.
        unseen: Classes without training samples; they are marked.
        faint: Whether to draw faint points without names, as a background.
    """
    classes = np.asarray(labels)
    if places.ndim != 2 or places.shape[1] != 2 or classes.shape != places.shape[:1]:
        raise BadgeError(
            "embedding map: expected places [n, 2] and labels [n], got "
            f"{list(places.shape)} and {list(classes.shape)}"
        )
    # Random drawing order, so that no class is always on top.
    shuffled = np.random.default_rng(0).permutation(len(places))
    colors = [class_color(label) for label in classes[shuffled]]
    x, y = places[shuffled].T
    axes.scatter(x, y, c=colors, s=6, lw=0, alpha=0.3 if faint else 0.65)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()
    radii = np.linalg.norm(places, axis=1)
    _circle(axes, float(np.quantile(radii, 0.9)))
    if not faint:
        for row in outermost(places):
            name, color = plain(class_names[classes[row]]), class_color(classes[row])
            axes.annotate(
                *(name, places[row]),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=9,
                color=color,
            )
    for label, name in enumerate(class_names):
        text = f"{name} (unseen)" if label in unseen else name
        axes.plot([], [], "o", color=class_color(label), ms=7, label=plain(text))


def _circle(axes: Axes, radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((0, 0), radius, fill=False, ec=INK, lw=1, ls=(0, (4, 3))))
    axes.annotate(
        *("90 % of the pool", (0, -radius)),
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=10,
        color=INK,
        bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
    )


def _number(axes: Axes, places: npt.NDArray[np.float64], colors: Sequence[str]) -> None:
    """Writes 1, 2, ... beside the places, without overlap, with a line to each place."""
    size = max(float(np.ptp(limits)) for limits in (axes.get_xlim(), axes.get_ylim()))
    for rank, (place, beside, color) in enumerate(
        zip(places, apart(places, 0.055 * size), colors, strict=True), start=1
    ):
        axes.plot(*np.stack([place, beside]).T, color=INK, lw=0.8)
        axes.plot(*place, "o", color=color, ms=6, mec=INK, mew=0.8)
        axes.annotate(
            *(str(rank), beside),
            ha="center",
            va="center",
            fontsize=11,
            fontweight="bold",
            color=INK,
            bbox={"boxstyle": "circle,pad=0.25", "fc": "white", "ec": color, "lw": 2},
        )

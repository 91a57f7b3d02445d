"""Draws the post's figures from a pool and its orderings."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lightning_badge import Ordering
from lightning_badge.durable.file import replacing
from lightning_badge.research.viz.animation import ordering_frames
from lightning_badge.research.viz.animation_files import can_write_webm, write_gif, write_webm
from lightning_badge.research.viz.composition import draw_composition, share_among_first
from lightning_badge.research.viz.confusion import confusion_matrix, draw_confusion
from lightning_badge.research.viz.embedding_map import EmbeddingMap, draw_embedding_map
from lightning_badge.research.viz.gains import draw_gains
from lightning_badge.research.viz.norms import draw_norms
from lightning_badge.viz.coverage import draw_coverage
from lightning_badge.viz.sample_grid import draw_sample_grids
from reproduce.claims import NINE
from reproduce.pool import Pool

NUMBERED = 10


def draw_all(
    pool: Pool,
    ordering: Ordering,
    compared: dict[str, list[Ordering]],
    places: EmbeddingMap,
) -> dict[str, Figure]:
    """Draws the still figures; returns them by file name without extension.

    Args:
        pool: The pool.
        ordering: The whole pool, ordered by BADGE.
        compared: Orderings of each strategy.
        places: Map of the pool.
    """
    names, labels, unseen = pool.class_names, pool.labels, pool.unseen
    of = " and ".join(names[label] for label in unseen)
    shown = f"landmark MDS; its axes explain {places.shown:.0%} of the landmarks' scatter"
    matrix = confusion_matrix(labels, pool.hallucinated, len(names))
    picks = pool.rows(ordering)[:NUMBERED].tolist()
    shares = {
        strategy: share_among_first(pool.is_unseen[np.stack([pool.rows(o) for o in several])])
        for strategy, several in compared.items()
    }
    return {
        "confusion": draw_confusion(matrix, names, unseen=unseen),
        "first_nine": draw_first_nine(pool, compared["entropy"][0], ordering),
        "map": draw_embedding_map(places.coordinates, labels, names, unseen=unseen, title=shown),
        "map_picks": draw_embedding_map(
            *(places.coordinates, labels, names),
            picks=picks,
            unseen=unseen,
            title=f"the first {len(picks)} picks of BADGE",
        ),
        "norms": draw_norms(pool.norms, labels, names, unseen=unseen),
        "coverage": draw_coverage({"badge": ordering}),
        "gains": draw_gains(ordering),
        "composition": draw_composition(shares, of=of, in_pool=float(pool.is_unseen.mean())),
    }


def draw_first_nine(pool: Pool, uncertain: Ordering, diverse: Ordering) -> Figure:
    """Draws the first nine picks of uncertainty sampling next to those of BADGE."""
    grids = {}
    for name, ordering in {"uncertainty (entropy)": uncertain, "BADGE": diverse}.items():
        rows = pool.rows(ordering)[:NINE]
        captions = [
            f"true {pool.class_names[true]}\nhallucinated {pool.class_names[seen_as]}"
            for true, seen_as in zip(pool.labels[rows], pool.hallucinated[rows], strict=True)
        ]
        grids[name] = (pool.images[rows], captions)
    return draw_sample_grids(grids)


def animate(pool: Pool, ordering: Ordering, places: EmbeddingMap, k: int, folder: Path) -> None:
    """Writes an animation of the first ``k`` ranks: ``ordering.gif``, and WebM with ffmpeg."""
    rows = pool.rows(ordering)[:k]
    unseen = pool.is_unseen[rows].cumsum()
    captions = [
        f"rank {rank} of {len(ordering):,}\ntrue {pool.class_names[pool.labels[row]]}, "
        f"hallucinated {pool.class_names[pool.hallucinated[row]]}\n"
        f"{unseen[rank - 1]} of {rank} unseen"
        for rank, row in enumerate(rows, start=1)
    ]
    writers = {"ordering.gif": write_gif}
    if can_write_webm():
        writers["ordering.webm"] = write_webm
    for name, write in writers.items():
        frames = ordering_frames(
            *(places.coordinates, pool.labels, pool.class_names),
            picks=rows.tolist(),
            images=pool.images[rows],
            captions=captions,
            unseen=pool.unseen,
        )
        with replacing(folder / name) as temporary:
            write(frames, temporary)


def save(figures: dict[str, Figure], folder: Path) -> None:
    """Writes each figure atomically."""
    for name, figure in figures.items():
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png")

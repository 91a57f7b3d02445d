"""The report of a reproduction, in Markdown and as plain values."""

from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import numpy as np

from lightning_badge import Ordering
from reproduce.claims import NEARLY_ALL, NINE, Measurement, in_words, interval
from reproduce.pool import Pool

POST_GPU_SECONDS, POST_CPU_MINUTES = 20, 15
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

FIGURES = {
    "confusion.png": "True and hallucinated classes: counts, shaded by share of the true class.",
    "first_nine.png": "The first nine picks of uncertainty sampling and of BADGE.",
    "map.png": "A map of the pool on a linear scale.",
    "map_picks.png": "The same map with BADGE's first picks.",
    "norms.png": "Norms in each class: median, middle half, middle 80 %.",
    "coverage.png": "Coverage of the pool's scatter against rank.",
    "gains.png": "Gains against rank: the squared distance to the nearest earlier rank.",
    "composition.png": "Share of the unseen classes among the first k ranks; bands contain the "
    "middle 90 % of orderings.",
    "ordering.gif": "BADGE's first picks in their order.",
}


@dataclass(frozen=True)
class Facts:
    """Settings and results of a run, besides the claims.

    Attributes:
        seed: Seed of split, weights and training.
        n_labeled: Size of the training set.
        n_pool: Size of the pool.
        accuracy: Accuracy on the pool's classes other than the unseen ones.
        seconds: Time of ordering the whole pool.
        threads: Number of torch threads.
        shown: Share of the landmarks' scatter that the map explains.
        ordering_seeds: Number of orderings of each random strategy.
    """

    seed: int
    n_labeled: int
    n_pool: int
    accuracy: float
    seconds: float
    threads: int
    shown: float
    ordering_seeds: int


def as_facts(facts: Facts, measurements: list[Measurement]) -> dict[str, Any]:
    """Returns everything as plain values, for `summarise_claims.py`."""
    return {**asdict(facts), "measurements": [each.facts() for each in measurements]}


def write_report(
    pool: Pool, ordering: Ordering, facts: Facts, measurements: list[Measurement]
) -> str:
    """Writes the report: claims first, then the numbers, then the figures."""
    unseen = " and ".join(pool.class_names[label] for label in pool.unseen)
    parts = [
        f"# The post's experiment on MNIST, seed {facts.seed}",
        f"A small CNN was trained on {facts.n_labeled:,} images without {unseen}. Of the "
        f"{facts.n_pool:,} images in the pool, {pool.is_unseen.mean():.1%} are {unseen}. Its "
        f"accuracy on the pool's other classes is {facts.accuracy:.1%}.",
        "## The claims of the post",
        f"Intervals are 95 % for the mean over {facts.ordering_seeds} ordering seeds. A claim "
        "holds if the whole interval is above its bound, or if a single value reaches it. "
        f'"Nearly all" means {NEARLY_ALL} of {NINE}; "over-represent", more than their share of '
        'the pool; "near the origin", a norm below 10 % of the largest.',
        claims_table(measurements),
        "For comparison:",
        comparison_table(measurements),
        "## Time",
        f"The full ordering of {facts.n_pool:,} took {facts.seconds:.2f} s here (torch threads: "
        f"{facts.threads}). The post states {POST_GPU_SECONDS} s on its GPU, and "
        f"{POST_CPU_MINUTES} min with scikit-learn on its CPU.",
        "## Figures",
        *_figures(pool, ordering, facts),
    ]
    return "\n\n".join(parts) + "\n"


def claims_table(measurements: list[Measurement]) -> str:
    """Returns a table of the claims, their measurements, and whether they hold."""
    lines = ["| claim | measured | | bound | holds |", "|---|---|---|---|---|"]
    for each in measurements:
        if each.bound is not None:
            verdict = "yes" if each.holds else "**no**"
            bound = in_words(each.bound, each.unit)
            lines.append(
                f"| {each.claim} | {each.name} | {_estimate(each)} | {bound} | {verdict} |"
            )
    return "\n".join(lines)


def comparison_table(measurements: list[Measurement]) -> str:
    """Returns a table of the measurements without a claim."""
    rows = [f"| {m.name} | {_estimate(m)} |" for m in measurements if m.bound is None]
    return "\n".join(["| measured | |", "|---|---|", *rows])


def _estimate(measured: Measurement) -> str:
    values = (mean(measured.values), *interval(measured.values))
    center, low, high = (in_words(value, measured.unit) for value in values)
    return f"{center} ({low} to {high})" if len(measured.values) > 1 else center


def _figures(pool: Pool, ordering: Ordering, facts: Facts) -> list[str]:
    """Returns each figure with its caption and the numbers in it."""
    half, most = (len(ordering.take(coverage=share)) for share in (0.5, 0.9))
    behind = {
        "confusion.png": _where_unseen_go(pool),
        "map.png": f"Its axes explain {facts.shown:.0%} of the scatter of its landmarks: points "
        "far apart on the map have distant embeddings, but points close together may not be close.",
        "norms.png": _norm_quantiles(pool),
        "coverage.png": f"{half:,} ranks explain half of the scatter, {most:,} explain 90 %.",
    }
    return [
        f"{text} {behind.get(name, '')}".rstrip() + f"\n\n![{text}]({name})"
        for name, text in FIGURES.items()
    ]


def _where_unseen_go(pool: Pool) -> str:
    sentences = []
    for label in pool.unseen:
        seen_as = pool.hallucinated[pool.labels == label]
        counts = np.bincount(seen_as, minlength=len(pool.class_names))
        first = [
            f"{pool.class_names[other]} ({counts[other] / max(len(seen_as), 1):.0%})"
            for other in np.argsort(-counts, kind="stable")[:3]
        ]
        sentences.append(f"{pool.class_names[label]} is predicted as {', '.join(first)}.")
    return " ".join(sentences)


def _norm_quantiles(pool: Pool) -> str:
    values = np.quantile(pool.norms, QUANTILES) / pool.norms.max()
    listed = ", ".join(f"{q:.0%}: {v:.2g}" for q, v in zip(QUANTILES, values, strict=True))
    return f"Quantiles, as shares of the largest norm: {listed}."

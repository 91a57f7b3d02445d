"""Text that is not ours, such as the name of a class, is never read as mathematics in a picture."""

import html
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
import matplotlib
from matplotlib.figure import Figure

from lightning_badge.ordering import Ordering
from lightning_badge.research.viz.animation import ordering_frames
from lightning_badge.research.viz.comparison import Band, draw_comparison, draw_penalty_matrix
from lightning_badge.research.viz.composition import draw_composition
from lightning_badge.research.viz.confusion import draw_confusion
from lightning_badge.research.viz.embedding_map import draw_embedding_map
from lightning_badge.research.viz.gain_noise import draw_gain_noise
from lightning_badge.research.viz.gains import draw_gains
from lightning_badge.research.viz.log_determinant import draw_log_determinant
from lightning_badge.research.viz.norms import draw_norms
from lightning_badge.viz.coverage import draw_coverage
from lightning_badge.viz.learning_curve import draw_learning_curve
from lightning_badge.viz.sample_grid import draw_sample_grid, draw_sample_grids

BAD = r"cost_$\foo_1$ and \$ %"  # as mathematics it is an error
OTHER = r"$\bar$"
PLACES = np.random.default_rng(0).normal(size=(12, 2))
LABELS = np.arange(12) % 2
IMAGES = np.zeros((2, 1, 4, 4))
ORDERING = Ordering(
    np.arange(12), gains=np.linspace(9.0, 1.0, 12), coverage=np.linspace(0.1, 1.0, 12, np.float32)
)
BAND = Band(np.array([5, 9]), np.array([0.5, 0.6]), np.array([0.1, 0.1]))
SHARES = np.full((2, 12), 0.5)

# How each picture is drawn, and how often its text holds BAD.
PICTURES: dict[str, tuple[Callable[[], Figure], int]] = {
    "coverage": (lambda: draw_coverage({BAD: ORDERING, OTHER: ORDERING}, title=BAD), 2),
    "learning curve": (
        lambda: draw_learning_curve({BAD: ([1, 2], [0.1, 0.2]), OTHER: ([1], [0.3])}, metric=BAD),
        2,
    ),
    "title": (lambda: draw_learning_curve({"a": ([1, 2], [0.1, 0.2])}, title=BAD), 1),
    "grid": (lambda: draw_sample_grid(IMAGES, [BAD, OTHER], title=BAD), 2),
    "grids": (lambda: draw_sample_grids({BAD: (IMAGES, [BAD, OTHER])}), 2),
    "bands": (lambda: draw_comparison({BAD: {BAD: BAND}, OTHER: {OTHER: BAND}}, metric=BAD), 3),
    "panels": (
        lambda: draw_comparison(
            {"one": dict.fromkeys((BAD, OTHER, "a", "b", "c"), BAND)}, baseline=BAD
        ),
        2,
    ),
    "penalties": (lambda: draw_penalty_matrix([BAD, OTHER], np.eye(2), settings=2), 2),
    "composition": (
        lambda: draw_composition({BAD: SHARES}, of=BAD, in_pool=0.5, title=BAD),
        3,
    ),
    "confusion": (lambda: draw_confusion(np.eye(2), [BAD, OTHER], unseen=[0], title=BAD), 3),
    "map": (lambda: draw_embedding_map(PLACES, LABELS, [BAD, OTHER], title=BAD), 2),
    "noise": (lambda: draw_gain_noise(np.ones((3, 4, 12)), runner_up=2, title=BAD), 1),
    "gains": (lambda: draw_gains(ORDERING, title=BAD), 1),
    "log-determinants": (
        lambda: draw_log_determinant([2, 3], {BAD: SHARES[:, :2]}, reference=BAD, title=BAD),
        3,
    ),
    "norms": (lambda: draw_norms(np.arange(1, 13), LABELS, [BAD, OTHER], title=BAD), 2),
}


@pytest.mark.parametrize("name", PICTURES)
def test_text_is_shown_as_it_is(name: str) -> None:
    draw, count = PICTURES[name]
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw().savefig(file, format="svg")
    assert html.unescape(file.getvalue()).count(BAD) >= count


def test_an_animation(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL.Image")
    captions: dict[str, Any] = {"picks": [0], "images": IMAGES[:1], "captions": [BAD]}
    assert next(iter(ordering_frames(PLACES, LABELS, [BAD, OTHER], **captions)))

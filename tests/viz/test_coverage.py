import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import Ordering
from lightning_badge.viz.coverage import draw_coverage


def ordering_of(*coverage: float) -> Ordering:
    shares = np.array(coverage, dtype=np.float32)
    return Ordering(np.arange(len(shares)), coverage=shares)


def test_a_line_for_each_ordering_over_ranks_from_one() -> None:
    figure = draw_coverage({"a": ordering_of(0.2, 0.6, 1.0), "b": ordering_of(0.1, 0.2)})
    (axes,) = figure.axes
    curves = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(curves["a"], [[1, 0.2], [2, 0.6], [3, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(curves["b"], [[1, 0.1], [2, 0.2]], rtol=1e-6)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_reached_landmarks_are_annotated() -> None:
    (axes,) = draw_coverage({"a": ordering_of(0.2, 0.6, 0.7)}).axes
    assert [text.get_text() for text in axes.texts] == ["50% with 2"]


def test_missing_orderings_or_coverage_are_errors() -> None:
    with pytest.raises(BadgeError, match="got none"):
        draw_coverage({})
    with pytest.raises(BadgeError, match="'a' has none"):
        draw_coverage({"a": Ordering(np.array([1]))})

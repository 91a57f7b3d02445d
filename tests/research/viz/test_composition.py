import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.composition import draw_composition, share_among_first

pytest.importorskip("matplotlib")


def test_shares_are_those_of_every_prefix() -> None:
    is_kind = np.random.default_rng(0).random((3, 40)) < 0.3
    shares = share_among_first(is_kind)
    by_hand = [[row[:k].mean() for k in range(1, 41)] for row in is_kind]
    np.testing.assert_allclose(shares, by_hand)


def test_lines_are_means_and_bands_show_the_spread() -> None:
    several = share_among_first(np.random.default_rng(0).random((5, 40)) < 0.3)
    (axes,) = draw_composition({"a": several, "b": several[:1]}, of="x", in_pool=0.3).axes
    lines = {line.get_label(): line for line in axes.lines}
    ranks, center = lines["a"].get_xydata().T
    assert ranks.tolist() == list(range(5, 41))
    np.testing.assert_allclose(center, several.mean(axis=0)[4:])
    assert len(axes.collections) == 1
    assert {text.get_text() for text in axes.texts} == {"a", "b", "in the pool"}


def test_names_of_lines_that_end_together_do_not_overlap() -> None:
    same = np.full((1, 9), 0.5)
    (axes,) = draw_composition(dict.fromkeys("abc", same), of="x", in_pool=0.5).axes
    heights = sorted(text.xy[1] for text in axes.texts)
    assert np.diff(heights).min() > 0.05


def test_missing_or_invalid_shares_are_errors() -> None:
    with pytest.raises(BadgeError, match="got none"):
        draw_composition({}, of="x", in_pool=0.1)
    with pytest.raises(BadgeError, match=r"'a': expected shares \[r, k\], got \[4\]"):
        draw_composition({"a": np.zeros(4)}, of="x", in_pool=0.1)

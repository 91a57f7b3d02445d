import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.confusion import confusion_matrix, draw_confusion

pytest.importorskip("matplotlib")


def test_rows_are_true_classes_and_columns_predicted_ones() -> None:
    labels, predicted = [0, 0, 2, 2, 2], [1, 1, 2, 0, 2]
    matrix = confusion_matrix(labels, predicted, 3)
    by_hand = np.zeros((3, 3), dtype=int)
    for true, seen_as in zip(labels, predicted, strict=True):
        by_hand[true, seen_as] += 1
    assert matrix.tolist() == by_hand.tolist()


def test_no_samples_give_a_matrix_of_zeros() -> None:
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_cells_show_their_counts_and_unseen_classes_are_marked() -> None:
    (axes,) = draw_confusion([[0, 1234], [0, 5]], ["cat", "dog"], unseen=[0]).axes
    assert {(text.get_text(), text.get_position()) for text in axes.texts} == {
        ("1,234", (1, 0)),
        ("5", (1, 1)),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat (unseen)", "dog"]
    assert axes.images[0].get_array().tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_invalid_classes_or_matrices_are_errors() -> None:
    with pytest.raises(BadgeError, match=r"got \[2\] and \[1\]"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(BadgeError, match="expected classes 0 to 1, got 0 to 2"):
        confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(BadgeError, match=r"expected \[3, 3\], got \[2, 2\]"):
        draw_confusion(np.zeros((2, 2)), ["a", "b", "c"])

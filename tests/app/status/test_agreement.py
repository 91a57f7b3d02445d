import itertools
from datetime import datetime, timezone

import pytest

from lightning_badge.app.status.agreement import agreement, latest_labels
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.store.answer import Answer


def answers(*given: tuple[int, Label | Skip | Undo, str]) -> list[Answer]:
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return [
        Answer(sample_id, label, annotator, 0, at, answer_id)
        for answer_id, (sample_id, label, annotator) in enumerate(given, start=1)
    ]


def test_the_latest_label_of_each_annotator_counts() -> None:
    given = answers(
        *((1, 0, "ann"), (1, 1, "bob"), (1, 1, "ann"), (2, 0, "ann"), (2, UNDO, "ann")),
        *((3, 1, "bob"), (3, SKIP, "bob"), (4, 0, "ann"), (4, UNDO, "ann"), (4, 2, "ann")),
    )
    assert latest_labels(given) == {1: {"ann": 1, "bob": 1}, 4: {"ann": 2}}


def test_without_a_sample_of_two_annotators_there_is_none() -> None:
    assert agreement({}) is None
    assert agreement({1: {"ann": 0}, 2: {"bob": 0}}) is None


def test_labels_of_several_classes_are_compared_as_a_whole() -> None:
    found = agreement({1: {"ann": [1.0, 0.0], "bob": [1.0, 0.0]}, 2: {"ann": [1.0], "bob": [0.0]}})
    assert found is not None
    assert (found.samples, found.pairs, found.share) == (2, 2, 0.5)


def test_one_class_alone_has_no_alpha() -> None:
    found = agreement({1: {"ann": 0, "bob": 0}})
    assert found is not None
    assert (found.share, found.alpha) == (1.0, None)


# Data of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part A.
TWO = {"ann": "0100000000", "bob": "1110010100"}


def by_sample(rows: dict[str, str]) -> dict[int, dict[str, int]]:
    samples: dict[int, dict[str, int]] = {}
    for annotator, row in rows.items():
        for sample, value in enumerate(row):
            if value != ".":
                samples.setdefault(sample, {})[annotator] = int(value)
    return samples


def test_alpha_of_two_observers_is_that_of_the_paper() -> None:
    found = agreement(by_sample(TWO))
    assert found is not None
    assert found.alpha == pytest.approx(0.095, abs=5e-4)
    assert found.share == pytest.approx(0.6)


def test_alpha_of_chance_is_about_zero() -> None:
    """Every combination of labels of three annotators once: agreement is exactly that of chance."""
    samples = {
        number: dict(zip("abc", labels, strict=True))
        for number, labels in enumerate(itertools.product(range(4), repeat=3))
    }
    found = agreement(samples)
    assert found is not None
    assert found.alpha == pytest.approx(0.0, abs=0.01)

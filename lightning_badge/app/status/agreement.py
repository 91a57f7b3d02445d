"""How far annotators agree about the samples that several of them labeled."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from lightning_badge.labels import Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import votes_of


@dataclass(frozen=True)
class Agreement:
    """Agreement of annotators.

    Attributes:
        samples: Number of samples that two or more annotators labeled.
        pairs: Number of pairs of labels of one sample.
        share: Share of these pairs that are equal.
        alpha: Krippendorff's alpha for nominal data: 1 for perfect agreement, 0 for that of chance;
            None if all labels are of one class.
    """

    samples: int
    pairs: int
    share: float
    alpha: float | None


def latest_labels(answers: Iterable[Answer]) -> dict[SampleId, dict[str, Label]]:
    """Returns for each sample the label that each annotator gave last.

    Args:
        answers: Answers in the order of commits.
    """
    labels = {
        sample_id: {
            annotator: vote.label
            for annotator, vote in votes.items()
            if not isinstance(vote.label, Skip | Undo)
        }
        for sample_id, votes in votes_of(answers).items()
    }
    return {sample_id: of_sample for sample_id, of_sample in labels.items() if of_sample}


def agreement(labels: Mapping[SampleId, Mapping[str, Label]]) -> Agreement | None:
    """Measures agreement; None if no sample was labeled by two annotators.

    Args:
        labels: The labels of each sample by annotator.

    Example:
        >>> agreement({1: {"ann": 0, "bob": 0}, 2: {"ann": 1, "bob": 0}, 3: {"ann": 1}}).share
        0.5
    """
    units = [
        [json.dumps(label) for label in of_sample.values()]
        for of_sample in labels.values()
        if len(of_sample) > 1
    ]
    if not units:
        return None
    pairs = [pair for unit in units for pair in combinations(unit, 2)]
    equal = sum(first == second for first, second in pairs)
    return Agreement(len(units), len(pairs), equal / len(pairs), _alpha(units))


def _alpha(units: list[list[str]]) -> float | None:
    """Returns Krippendorff's alpha ("Computing Krippendorff's Alpha-Reliability", 2011, part C)."""
    totals = Counter(value for unit in units for value in unit)
    n = sum(totals.values())
    expected = n * (n - 1) - sum(count * (count - 1) for count in totals.values())
    if not expected:
        return None
    observed = 0.0
    for unit in units:
        equal = sum(count * (count - 1) for count in Counter(unit).values())
        observed += (len(unit) * (len(unit) - 1) - equal) / (len(unit) - 1)
    return 1 - (n - 1) * observed / expected

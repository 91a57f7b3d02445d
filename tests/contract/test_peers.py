"""The README's claims about other libraries, checked against the installed versions."""

import numpy as np
from sklearn.cluster import kmeans_plusplus

from lightning_badge import kmeans_pp


def test_scikit_learn_repeats_rows_and_kmeans_pp_does_not() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 8)), 4, axis=0)
    theirs = kmeans_plusplus(rows, 200, random_state=0)[1]
    assert len(set(theirs.tolist())) < 200
    assert sorted(kmeans_pp(rows, 200).tolist()) == list(range(200))


def test_a_shorter_ordering_is_a_prefix_unlike_in_scikit_learn() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 8))
    ten, hundred = (kmeans_plusplus(rows, k, random_state=0)[1][:10] for k in (10, 100))
    assert ten.tolist() != hundred.tolist()
    assert kmeans_pp(rows, 10).tolist() == kmeans_pp(rows, 100)[:10].tolist()

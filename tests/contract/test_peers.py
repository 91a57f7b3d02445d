"""What the README says of peers, checked against the versions at hand."""

import numpy as np
from sklearn.cluster import kmeans_plusplus

from lightning_badge import kmeans_pp


def test_scikit_learn_picks_copies_twice_and_we_do_not() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 8)), 4, axis=0)
    theirs = kmeans_plusplus(rows, 200, random_state=0)[1]
    assert len(set(theirs.tolist())) < 200
    assert sorted(kmeans_pp(rows, 200).tolist()) == list(range(200))


def test_scikit_learn_has_no_prefixes_and_we_have() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 8))
    ten, hundred = (kmeans_plusplus(rows, k, random_state=0)[1][:10] for k in (10, 100))
    assert ten.tolist() != hundred.tolist()
    assert kmeans_pp(rows, 10).tolist() == kmeans_pp(rows, 100)[:10].tolist()

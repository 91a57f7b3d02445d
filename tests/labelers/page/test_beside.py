"""People at the page, and a model beside them that they correct."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from services import Answering, running

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.page.labelers import PageLabelers
from lightning_badge.labelers.service import chat
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.leases import session_of
from lightning_badge.store.next_sample import Query

COUNT = 12
NAMES = ["even", "odd"]
TAB = session_of("ann", "1")


class Site:
    """A page beside which a model answers, and a person who uses the store as the server does."""

    def __init__(self, path: Path) -> None:
        data = [(torch.full((1, 4, 4), n / COUNT), n % 2) for n in range(COUNT)]
        self.datamodule = ActiveLearningDataModule(data, initial_labeled=[], class_names=NAMES)
        self.path = path
        self.store = LabelStore(path / "labels.db")
        self.store.set_consensus("people_first")

    def page(self, url: str, **arguments: Any) -> PageLabelers:
        def beside(datamodule: Any, run_path: Path) -> Any:
            return chat.for_run(datamodule, run_path, url=url, model="m", **arguments)

        self.labelers = PageLabelers(self.datamodule, self.path, beside=beside)
        return self.labelers

    def query(self, allowed: int | None, **arguments: Any) -> Query:
        """The trained model predicts what is right, but for the samples 4 and 5."""
        guesses = np.array([n % 2 if n not in (4, 5) else 1 - n % 2 for n in range(COUNT)])
        ordering = Ordering(np.arange(COUNT), hallucinated_label=guesses.astype(np.int32))
        classes = ClassList(self.store, NAMES)
        query = Query(self.store, self.store.cut(0), ordering, classes=classes, **arguments)
        query.allow(allowed)
        return query

    def person(self, query: Query, count: int) -> list[Any]:
        """Answers rightly what the page offers; returns the samples."""
        offers = query.lease(TAB, count, annotator="ann")
        rows = [NewAnswer(o.sample_id, o.sample_id % 2, "ann", o.round, o.rank) for o in offers]
        query.answer(TAB, rows, 0, annotator="ann")
        return [offer.sample_id for offer in offers]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.labelers.close()
    site.store.close()


def test_people_get_what_is_contested_and_complete_the_query(site: Site) -> None:
    """The model errs about sample 1, names no class for 2, and the trained one errs about 4, 5."""
    wrong = {1: "even", 2: "a bird"}
    with running(Answering(lambda n: wrong.get(n, NAMES[n % 2]), COUNT)) as url:
        labelers, query = site.page(url), site.query(8)
        labelers.publish(query)
        answers: Any = labelers.collect()
        while len(site.store.answers()) < 8:  # the allowance, not more
            site.store.add(next(answers))
        assert site.store.labels() == {n: n % 2 for n in (0, 3, 6, 7)}
        assert site.person(query, 4) == [1, 2, 4, 5]
        assert site.store.labels() == {n: n % 2 for n in range(8)}
        assert query.left() == 0
        empty = [next(answers) for _ in range(2)]
        answers.close()
    assert empty == [[]] * 2, "nobody is asked for more"
    assert {a.annotator for a in site.store.answers()} == {"model:m", "ann"}
    assert site.store.leases.unexpired(0.0) == {}


def test_people_go_on_alone_where_the_model_fails(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    labelers = site.page("http://127.0.0.1:9/v1", patience=0.01)  # nobody listens there
    query = site.query(4)
    labelers.publish(query)
    answers: Any = labelers.collect()
    while "people go on alone" not in caplog.text:
        assert next(answers) == []
    query.release("model:m")
    assert len(site.person(query, 4)) == 4
    assert next(answers) == []
    answers.close()


def test_a_model_without_a_key_is_an_error_at_the_start(site: Site, monkeypatch: Any) -> None:
    monkeypatch.delenv("CHAT_KEY", raising=False)
    labelers = site.page("https://chat.example.org/v1", key="CHAT_KEY")
    with pytest.raises(LabelError, match="environment variable CHAT_KEY"):
        labelers.prepare(overlap=1, accept_changes=False)


def test_with_two_annotators_a_person_outweighs_the_model(site: Site) -> None:
    with running(Answering(lambda n: "even", COUNT)) as url:
        labelers, query = site.page(url), site.query(None, overlap=2)
        labelers.publish(query)
        answers: Any = labelers.collect()
        while len(site.store.answers()) < COUNT:
            site.store.add(next(answers))
        assert len(site.store.labels()) < COUNT
        assert set(site.person(query, COUNT)) == set(range(COUNT))
        answers.close()
    assert site.store.labels() == {n: n % 2 for n in range(COUNT)}

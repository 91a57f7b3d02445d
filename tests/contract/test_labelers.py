"""Every option of ``labelers=`` keeps the contract of `Labelers`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import studio_server
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from services import Answering, running

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labelers import Labelers
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import Answer, NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

CONFIGS = Path(__file__).parent.parent.parent / "configs"
OPTIONS = sorted(path.stem for path in (CONFIGS / "labelers").glob("*.yaml"))
COUNT = 30


class Site:
    """A run whose labelers answer with ``n % 2``.

    Where people answer, files stand in for them, and at the page answers of another process; for
    services and models a server in a thread, as for Label Studio.
    """

    def __init__(self, option: str, path: Path) -> None:
        self.path = path
        self.option = option
        self.seen = 0  # the last answer that `commit` returned
        labels = [n % 2 for n in range(COUNT)]
        data = [(torch.full((1, 4, 4), n / COUNT), label) for n, label in enumerate(labels)]
        self.datamodule = ActiveLearningDataModule(
            data, initial_labeled=[], labels=labels, class_names=["even", "odd"]
        )
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            self.config = compose("al_loop", [f"labelers={option}"])
        self.address = self._configure()
        self.labelers = self.start()
        self.store = LabelStore(":memory:")

    def _configure(self) -> str | None:
        """Names the server, if one is asked."""
        labelers = self.config.labelers
        asked = labelers.get("beside") or labelers
        if "url" not in asked:
            return None
        if self.option == "label_studio":
            self.studio = studio_server.Studio()
            self.server: Any = studio_server.serving(self.studio)
            asked.url, asked.poll = self.server.__enter__(), 0.01
            return str(asked.url)
        self.server = running(Answering(lambda number: ["even", "odd"][number % 2], COUNT))
        asked.url = self.server.__enter__()
        asked.key = None
        if "model" in asked:
            asked.model = "stand-in"
        return str(asked.url)

    def start(self) -> Labelers:
        """Builds labelers as a new process does."""
        built: Labelers = instantiate(self.config.labelers)(self.datamodule, self.path)
        return built

    def query(self, allowed: int | None) -> Query:
        cut = (self.store.cuts(0) or [self.store.cut(0)])[-1]
        classes = ClassList(self.store, self.datamodule.class_names)
        query = Query(self.store, cut, Ordering(np.arange(COUNT)), classes=classes)
        query.allow(allowed)
        return query

    @property
    def has_page(self) -> bool:
        return "page" in self.option

    def people_answer(self, offers: Any) -> None:
        """Answers as people do who were asked for these samples."""
        if self.option == "label_studio":
            self._label_tasks(offers)
            return
        if self.address is not None and not self.has_page:
            return
        if self.has_page:
            rows = [NewAnswer(o.sample_id, o.sample_id % 2, "ann", o.round, o.rank) for o in offers]
            self.store.add(rows)
            return
        answers = self.path / "answers"
        answers.mkdir(exist_ok=True)
        rows = [f"{offer.sample_id},{offer.sample_id % 2}" for offer in offers]
        (answers / "answers.csv").write_text("\n".join(["sample_id,label", *rows]) + "\n")

    def _label_tasks(self, offers: Any) -> None:
        working = self.labelers.collect()
        for _ in range(2):  # they hand samples out between two batches
            next(working)
        asked = self.studio.stream(1)
        assert [task["data"]["sample_id"] for task in asked] == [o.sample_id for o in offers]
        for task in asked:
            self.studio.submit(task["id"], [["even", "odd"][task["data"]["sample_id"] % 2]])


@pytest.fixture(params=OPTIONS)
def site(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio_server.TOKEN)
    site = Site(request.param, tmp_path)
    yield site
    site.labelers.close()
    site.store.close()
    if site.address is not None:
        site.server.__exit__(None, None, None)


def commit(site: Site, labelers: Labelers) -> list[Answer]:
    """Collects until labelers have no more; returns the answers since the last call."""
    for batch in labelers.collect():
        if not batch and (site.has_page or site.option == "label_studio"):
            break
        assert site.store.add(batch) == len(batch)
    found = site.store.usable_answers(after=site.seen)
    site.seen = site.store.last_answer_id()
    return found


def test_before_a_query_there_are_no_answers(site: Site) -> None:
    assert list(site.labelers.collect()) == []


def test_answers_are_those_that_the_query_allows(site: Site) -> None:
    query = site.query(7)
    site.labelers.publish(query)
    site.people_answer(query.peek(99))
    found = commit(site, site.labelers)
    assert sorted((a.sample_id, a.label, a.round, a.rank) for a in found) == [
        (n, n % 2, 0, n) for n in range(7)
    ]
    assert all(answer.annotator for answer in found)


def test_nothing_is_collected_twice_also_by_another_process(site: Site) -> None:
    query = site.query(7)
    site.labelers.publish(query)
    site.people_answer(query.peek(99))
    commit(site, site.labelers)
    assert commit(site, site.labelers) == []
    again = site.start()
    again.publish(site.query(7))
    assert commit(site, again) == []
    again.close()


def test_a_batch_that_was_not_committed_comes_again(site: Site) -> None:
    query = site.query(7)
    site.labelers.publish(query)
    site.people_answer(query.peek(99))
    killed: Any = site.labelers.collect()
    lost = next(killed)
    killed.close()
    again = site.start()
    again.publish(site.query(7))
    found = commit(site, again)
    assert sorted(a.sample_id for a in found) == list(range(7))
    assert {(a.sample_id, a.request_id) for a in lost} <= {
        (a.sample_id, a.request_id) for a in found
    }
    again.close()


def test_what_people_do_next_is_one_line_or_nothing(site: Site) -> None:
    site.labelers.publish(site.query(3))
    to_do = site.labelers.to_do()
    assert to_do is None or (to_do and "\n" not in to_do)

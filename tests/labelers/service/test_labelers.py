"""Labelers who are asked over HTTP: nothing is lost, doubled, or asked beyond what is allowed."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from services import Answering, running

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service import chat, service
from lightning_badge.labelers.service.labelers import ServiceLabelers
from lightning_badge.labelers.service.request_log import RequestLog
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import Answer, NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.terms import Money, Terms, commit_terms

COUNT = 30
NAMES = ("even", "odd")


def parity(number: int) -> str | None:
    return NAMES[number % 2]


class Site:
    """A run whose labelers are asked over HTTP."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        self.store = LabelStore(path / "labels.db")
        data = [(torch.full((1, 4, 4), n / COUNT), n % 2) for n in range(COUNT)]
        self.datamodule = ActiveLearningDataModule(data, initial_labeled=[], class_names=NAMES)
        self.built: list[ServiceLabelers] = []

    def query(self, allowed: int | None, *, round: int = 0, **arguments: Any) -> Query:
        cut = (self.store.cuts(round) or [self.store.cut(round)])[-1]
        classes = ClassList(self.store, NAMES, **arguments)
        in_force = self.store.in_force()
        ids = np.array([n for n in range(COUNT) if n not in in_force or round == 0])
        ids = ids if round < 2 else ids[::-1]
        guesses = np.zeros(len(ids), np.int32)
        query = Query(self.store, cut, Ordering(ids, hallucinated_label=guesses), classes=classes)
        query.allow(allowed)
        return query

    def labelers(self, *, model: str | None = None, **arguments: Any) -> ServiceLabelers:
        if model is None:
            labelers = service.for_run(self.datamodule, self.path, url=self.url, **arguments)
        else:
            labelers = chat.for_run(
                self.datamodule, self.path, url=self.url, model=model, **arguments
            )
        self.built.append(labelers)
        return labelers

    def collect(self, query: Query, labelers: ServiceLabelers | None = None) -> list[Answer]:
        """Commits what is collected, as the loop does."""
        labelers, before = labelers or self.labelers(), self.store.last_answer_id()
        labelers.publish(query)
        for batch in labelers.collect():
            self.store.add(batch)
        return self.store.usable_answers(after=before)

    def close(self) -> None:
        for labelers in self.built:
            labelers.close()
        self.store.close()


class Service(Answering):
    """Answers `parity`, or what is set; counts what is asked by request id."""

    def __init__(self) -> None:
        super().__init__(parity, COUNT)
        self.change: Callable[[Any, Any], Any] = lambda body, reply: reply

    def __call__(self, body: Any) -> Any:
        return self.change(body, super().__call__(body))

    @property
    def asked(self) -> Counter[str]:
        return Counter(body["request_id"] for body in self.bodies)


@pytest.fixture
def asked() -> Service:
    return Service()


@pytest.fixture
def site(tmp_path: Path, asked: Service) -> Iterator[Site]:
    with running(asked) as url:
        site = Site(tmp_path, url)
        yield site
        site.close()


def test_answers_carry_price_and_seconds_and_come_once(site: Site, asked: Service) -> None:
    answers = site.collect(site.query(7))
    assert sorted(a.sample_id for a in answers) == list(range(7))
    assert {(a.annotator, a.cost, a.seconds, a.round) for a in answers} == {
        ("service", 0.03, 2.5, 0)
    }
    assert all(a.label == a.sample_id % 2 and a.rank == a.sample_id for a in answers)
    assert site.collect(site.query(7)) == []
    assert list(asked.asked.values()) == [1] * 7
    assert site.store.leases.unexpired(0.0) == {}, "all leases have ended"


def test_at_most_parallel_requests_are_open_and_all_are_leased(site: Site, asked: Service) -> None:
    lock, open_now, most = threading.Lock(), [0], [0]
    leased: list[bool] = []

    def change(body: Any, reply: Any) -> Any:
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        with LabelStore(site.path / "labels.db") as store:
            leased.append("service" in store.leases.unexpired(0.0).get(body["sample_id"], ()))
        with lock:
            open_now[0] -= 1
        return reply

    asked.change = change
    assert len(site.collect(site.query(12), site.labelers(parallel=3))) == 12
    assert 1 <= most[0] <= 3
    assert leased == [True] * 12


def test_what_was_sent_when_the_loop_stops_is_committed(site: Site, asked: Service) -> None:
    """A budget may end a query at any time; what is paid by then is not lost."""
    labelers, all_here = site.labelers(parallel=4), threading.Barrier(4)
    go = threading.Event()

    def change(body: Any, reply: Any) -> Any:
        if all_here.wait(30) != 0:
            go.wait(30)
        return reply

    asked.change = change
    labelers.publish(site.query(4))
    answers: Any = labelers.collect()
    batch = next(batch for batch in answers if batch)
    site.store.add(batch)
    threading.Timer(0.05, go.set).start()
    answers.close()
    assert sorted(a.sample_id for a in site.store.answers()) == [0, 1, 2, 3]
    assert site.store.leases.unexpired(0.0) == {}


def test_a_request_that_was_open_goes_on_in_the_next_round(site: Site, asked: Service) -> None:
    """The same request, though the sample is no longer among the first of the ordering."""
    asked.change = lambda body, reply: {"status": "pending"} if body["sample_id"] == 1 else reply
    labelers = site.labelers(parallel=2, poll=3600)
    labelers.publish(site.query(5))
    answers: Any = labelers.collect()
    while len(site.store.labels()) < 4:
        site.store.add(next(answers))
    answers.close()
    assert 1 in site.store.leases.unexpired(0.0), "nobody else is asked meanwhile"
    site.store.leases.release("service")  # as after ten minutes without this process
    asked.change = lambda body, reply: reply
    query = site.query(0, round=1)
    found = site.collect(query, site.labelers())
    assert [(a.sample_id, a.round, a.rank) for a in found] == [(1, 0, 1)]
    assert sorted(asked.asked.values()) == [1, 1, 1, 1, 2]


def test_a_request_for_what_somebody_else_answered_counts_as_open_too(
    site: Site, asked: Service
) -> None:
    asked.change = lambda body, reply: {"status": "pending"} if body["sample_id"] == 0 else reply
    labelers = site.labelers(parallel=2, poll=3600)
    labelers.publish(query := site.query(9))
    answers: Any = labelers.collect()
    site.store.add(next(batch for batch in answers if batch))
    site.store.add([NewAnswer(0, 0, "ann", 0, 0)])
    for batch in answers:
        made = site.store.changes.of("request")
        answered = {a.request_id for a in site.store.answers()}
        assert sum(change.facts["request_id"] not in answered for change in made) <= 2
        site.store.add(batch)
        if query.left() <= 0:
            break
    answers.close()


def test_after_a_crash_the_same_requests_are_made(site: Site, asked: Service) -> None:
    """Also when the answer was not committed, and when the lease had ended."""
    labelers = site.labelers(parallel=3)
    labelers.publish(site.query(3))
    killed: Any = labelers.collect()
    lost = next(batch for batch in killed if batch)
    with pytest.raises(KeyboardInterrupt):
        killed.throw(KeyboardInterrupt)
    site.store.leases.release("service")
    found = site.collect(site.query(3))
    again = {a.request_id for a in site.store.answers()}
    assert lost[0].request_id in {a.request_id for a in found}
    assert again == set(asked.asked)
    assert len(again) == 3


def test_an_answer_that_was_undone_is_asked_for_anew(site: Site, asked: Service) -> None:
    site.collect(site.query(1))
    (first,) = asked.asked
    site.store.add([NewAnswer(0, UNDO, "service", 0, 0)])
    site.collect(site.query(1))
    assert len(asked.asked) == 2
    assert first in asked.asked


def test_two_runs_make_different_requests(tmp_path: Path, site: Site) -> None:
    query, made = site.query(1), RequestLog(site.store, "service")
    (one,) = made.make(query, [0], guess=True)
    with LabelStore(tmp_path / "other.db") as store:
        other = Query(store, store.cut(0), Ordering(np.arange(COUNT)))
        (two,) = RequestLog(store, "service").make(other, [0], guess=True)
        (three,) = RequestLog(store, "model:x").make(other, [0], guess=True)
    assert len({one.request_id, two.request_id, three.request_id}) == 3
    assert RequestLog(site.store, "service").make(query, [0], guess=True) == [one]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("bird", "expected classes among even, odd"),
        (["even", "odd"], "expected one class"),
        ([], "expected one class"),
    ],
)
def test_an_unknown_class_is_a_skip_that_is_paid(
    site: Site, asked: Service, label: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked.change = lambda body, reply: (
        {**reply, "label": label} if body["sample_id"] == 0 else reply
    )
    answers = site.collect(site.query(2))
    assert {(a.sample_id, a.label, a.cost) for a in answers} == {
        *((0, SKIP, 0.03), (1, 1, 0.03), (2, 0, 0.03))
    }
    assert reason in caplog.text


def test_a_sample_that_cannot_be_read_is_a_skip_and_not_asked_for(
    site: Site, asked: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelers = site.labelers(price=0.5)
    of = labelers._contents.of

    def read(sample_id: Any) -> Any:
        if sample_id == 1:
            raise LabelError("1.png: cannot be read any more")
        return of(sample_id)

    monkeypatch.setattr(labelers._contents, "of", read)
    answers = site.collect(site.query(2), labelers)
    assert {(a.sample_id, a.label, a.cost) for a in answers} == {
        *((0, 0, 0.03), (1, SKIP, None), (2, 0, 0.03))
    }
    assert {body["sample_id"] for body in asked.bodies} == {0, 2}


def test_a_new_class_is_taken_where_the_run_accepts_it(site: Site, asked: Service) -> None:
    asked.change = lambda body, reply: {**reply, "label": "bird"}
    query = site.query(2, accept_changes=True)
    site.collect(query)
    assert site.store.labels() == {0: 2, 1: 2}
    assert query.classes.names() == ("even", "odd", "bird")
    assert asked.bodies[0]["classes"] == ["even", "odd"]


def test_a_model_never_adds_a_class(site: Site, asked: Service) -> None:
    asked.change = lambda body, reply: {"choices": [{"message": {"content": "bird"}}]}
    labelers = site.labelers(model="m", most_skips=2, parallel=1)
    with pytest.raises(LabelError, match="2 answers in a row are no labels .*answered 'bird'"):
        site.collect(site.query(5, accept_changes=True), labelers)
    assert site.store.labels() == {}
    assert len(site.store.skipped()) == 2


@pytest.mark.parametrize("label", [None, "bird"])
def test_a_service_that_labels_nothing_is_one_line(
    site: Site, asked: Service, label: str | None
) -> None:
    asked.change = lambda body, reply: {**reply, "label": label}
    with pytest.raises(LabelError, match="3 answers in a row are no labels") as error:
        site.collect(site.query(9), site.labelers(most_skips=3, parallel=1))
    assert "\n" not in str(error.value)
    assert len(asked.asked) <= 4


def test_a_price_that_is_known_stands_where_the_reply_has_none(site: Site, asked: Service) -> None:
    def change(body: Any, reply: Any) -> Any:
        price = {0: 0.01, 1: None}.get(body["sample_id"], 0)
        return {**reply, "price": price}

    asked.change = change
    answers = site.collect(site.query(3), site.labelers(price=0.5))
    assert {a.sample_id: a.cost for a in answers} == {0: 0.01, 1: 0.5, 2: 0}


def test_a_model_is_marked_and_its_answer_carries_the_guess(site: Site) -> None:
    labelers = site.labelers(model="llama", prices={"input": 10, "output": 100})
    answers = site.collect(site.query(4), labelers)
    assert {(a.annotator, a.guess) for a in answers} == {("model:llama", 0)}
    assert all(a.label == a.sample_id % 2 for a in answers)
    assert [a.cost for a in answers] == [pytest.approx(0.0102)] * 4
    assert site.labelers(model="llama", annotator="judge").annotator == "model:judge"


def test_with_people_first_the_run_says_who_has_to_decide(site: Site) -> None:
    site.store.set_consensus("people_first")
    labelers = site.labelers(model="llama")
    site.collect(site.query(4), labelers)  # the trained model predicts class 0 for all
    assert site.store.labels() == {0: 0, 2: 0}
    to_do = labelers.to_do()
    assert to_do is not None
    assert to_do.startswith("2 samples wait for a person's answer")
    assert site.collect(site.query(4), labelers) == [], "it answers no others instead"


def test_several_classes_of_a_sample(site: Site, asked: Service) -> None:
    asked.change = lambda body, reply: {
        **reply,
        "label": [[], ["odd"], ["odd", "even"]][body["sample_id"]],
    }
    answers = site.collect(site.query(3, multilabel=True))
    assert {a.sample_id: a.label for a in answers} == {0: [0.0, 0.0], 1: [0.0, 1.0], 2: [1.0, 1.0]}
    assert {a.guess for a in answers} == {None}


def test_the_key_is_in_no_file_and_no_message(
    site: Site, asked: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("SERVICE_KEY", "sk-very-secret-47")
    labelers = site.labelers(key="SERVICE_KEY")
    labelers.prepare(overlap=1, accept_changes=False)
    site.collect(site.query(3), labelers)
    written = b"".join(path.read_bytes() for path in site.path.rglob("*") if path.is_file())
    assert b"request_id" in written
    assert b"sk-very-secret-47" not in written
    assert "sk-very-secret-47" not in caplog.text + repr(vars(labelers))


def test_a_missing_key_is_one_line_at_the_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVICE_KEY", raising=False)
    with pytest.raises(LabelError, match="expected a key in the environment variable SERVICE_KEY"):
        site.labelers(key="SERVICE_KEY").prepare(overlap=1, accept_changes=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"parallel": 0}, "labelers.parallel: expected an integer of 1 or more"),
        ({"most_skips": True}, "labelers.most_skips: expected an integer of 1 or more"),
        ({"price": -1}, "labelers.price: expected a finite number"),
        ({"annotator": "a#b"}, "labelers.annotator: expected a name without #"),
    ],
)
def test_arguments_are_checked(site: Site, arguments: Any, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        site.labelers(**arguments)


def test_classes_need_names(site: Site) -> None:
    site.datamodule.class_names = None
    with pytest.raises(LabelError, match="expected data with names of their classes"):
        site.labelers()


def test_a_stand_in_that_answers_well_outside_the_classes_and_not_at_all(
    site: Site, asked: Service
) -> None:
    """A model: every fifth answer is no class, every seventh request gets no reply at first."""
    silent: set[int] = set()

    def change(body: Any, reply: Any) -> Any:
        number = asked.number(body)
        if number % 7 == 0 and number not in silent:
            silent.add(number)
            raise ConnectionError("no reply")  # the server closes the connection
        content = "a strange thing" if number % 5 == 0 else f"**{parity(number)}**."
        return {"choices": [{"message": {"content": content}}]}

    asked.change = change
    site.collect(site.query(20), site.labelers(model="stand-in"))
    labels, skipped = site.store.labels(), site.store.skipped()
    assert len(silent) == 4
    assert labels == {n: n % 2 for n in labels}
    assert len(labels) == 20
    assert sorted(skipped) == [n for n in range(max(labels) + 1) if n % 5 == 0]
    assert len({a.sample_id for a in site.store.answers()}) == len(site.store.answers())


@pytest.mark.parametrize("model", [None, "stand-in"])
def test_one_that_never_answers_ends_with_one_line(
    site: Site, model: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        labelers = site.labelers(model=model, timeout=0.05, patience=0.2)
        with pytest.raises(LabelError, match=r"no answer for .* s \(timed out\)") as error:
            site.collect(site.query(9), labelers)
    assert "\n" not in str(error.value)
    assert site.store.answers() == []
    labelers.close()
    assert ("4 requests are open" in caplog.text) == (model is None)
    leased = site.store.leases.unexpired(0.0)
    assert len(leased) == (4 if model is None else 0), "a model's samples are free for others"


def limit(site: Site, limit: str, price: str | None) -> None:
    known = None if price is None else Decimal(price)
    with site.store.leases.transaction():
        commit_terms(site.store.changes, Terms(Money(Decimal(limit), price=known)))


def test_no_request_is_made_that_the_money_does_not_pay_for(site: Site, asked: Service) -> None:
    limit(site, "0.10", "0.03")
    site.collect(site.query(None))
    assert len(asked.asked) == len(site.store.labels()) == 3


def test_where_only_the_service_knows_prices_one_sample_is_asked_for_at_a_time(
    site: Site, asked: Service
) -> None:
    limit(site, "0.10", None)
    in_time: list[int] = []

    def change(body: Any, reply: Any) -> Any:
        with LabelStore(site.path / "labels.db") as store:
            in_time.append(len(store.changes.of("request")) - len(store.answers()))
        return reply

    asked.change = change
    site.collect(site.query(None))
    assert in_time == [1] * 4, "the fourth one costs more than what remains, which nobody knew"


def test_open_requests_are_paid_before_others_also_long_after_a_crash(
    site: Site, asked: Service
) -> None:
    limit(site, "0.10", "0.03")
    asked.change = lambda body, reply: {"status": "pending"}
    labelers = site.labelers(poll=3600)
    labelers.publish(site.query(None))
    killed: Any = labelers.collect()
    while len(asked.asked) < 3:
        assert next(killed) == []
    with pytest.raises(KeyboardInterrupt):
        killed.throw(KeyboardInterrupt)
    site.store.leases.release("service")  # they expired
    asked.change = lambda body, reply: reply
    site.collect(site.query(None, round=2))  # whose ordering begins with others
    assert list(asked.asked.values()) == [2] * 3
    assert len(site.store.labels()) == 3

"""Two rounds in a small Label Studio: order, allowance, answers, outages."""

import base64
import itertools
import logging
from typing import Any

import pytest
import torch
from studio_run import make_data

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.base import ShownSample
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.store.class_list import ClassList


def says(answers: Any) -> list[tuple[Any, Any, str]]:
    return [(answer.sample_id, answer.label, answer.annotator) for answer in answers]


class TestTasks:
    def test_they_carry_the_sample_and_where_it_stood(self, run: Any) -> None:
        labelers = run.start()
        labelers.publish(run.query(order=[7, 3], allowed=2))
        run.look(labelers)
        first, second = run.studio.tasks_of(run.project)
        content = first["data"].pop("image")
        assert first["data"] == {
            "sample_id": 7,
            "badge_rank": 0,
            "badge_round": 0,
            "badge_gain": 2.0,
        }
        assert content.startswith("data:image/png;base64,")
        assert base64.b64decode(content.partition(",")[2]).startswith(b"\x89PNG")
        assert second["data"]["badge_rank"] == 1

    def test_the_stream_follows_the_ranks_of_each_round(self, run: Any) -> None:
        labelers = run.start()
        labelers.publish(run.query(order=[5, 1, 9, 4]))
        run.look(labelers)
        assert run.stream() == [5, 1, 9, 4]
        run.answer(5, ["cat"])
        labelers.publish(run.query(1, order=[4, 8, 1, 9]))
        run.look(labelers)
        assert run.stream() == [4, 8, 1, 9]

    def test_no_task_is_added_twice_or_deleted(self, run: Any) -> None:
        for _ in range(3):  # each is a process
            labelers = run.start()
            labelers.publish(run.query(order=range(6)))
            run.look(labelers)
            labelers.close()
        labelers = run.start()
        labelers.publish(run.query(1, order=range(3, 9)))
        run.look(labelers)
        ids = [task["data"]["sample_id"] for task in run.studio.tasks.values()]
        assert ids == list(range(9))
        assert run.stream() == [3, 4, 5, 6, 7, 8, 0, 1, 2]
        assert not [method for method, _ in run.studio.requests if method == "DELETE"]

    def test_open_tasks_stay_within_the_allowance(self, run: Any) -> None:
        labelers = run.start()
        labelers.publish(run.query(allowed=4))
        run.look(labelers)
        assert run.stream() == [0, 1, 2, 3]
        run.answer(0, ["cat"])
        run.answer(1, None)  # a skip brings no label
        run.look(labelers)
        assert run.stream() == [2, 3, 4]
        labelers.publish(run.query(1, order=range(10, 20), allowed=5))
        run.look(labelers)
        assert run.stream() == [10, 11, 2, 3, 4]

    def test_what_is_labeled_elsewhere_gets_no_task(self, run: Any) -> None:
        run.store.record(0, [(0, 1), (2, SKIP)], annotator="elsewhere")
        labelers = run.start()
        labelers.publish(run.query(order=range(5)))
        run.look(labelers)
        assert run.stream() == [1, 3, 4]
        run.store.record(0, [(1, 1)], annotator="elsewhere")
        labelers.publish(run.query(1, order=[3, 4]))
        run.look(labelers)
        assert run.stream() == [3, 4, 1]  # nobody loses an answer to a task that is open

    def test_validation_samples_come_in_between(self, run: Any) -> None:
        labelers = run.start()
        labelers.publish(run.query(order=range(4), validation=[18, 19], allowed=4))
        run.look(labelers)
        assert run.stream() == [0, 1, 18, 2, 3]

    def test_priorities_that_shift_change_the_order(
        self, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labelers = run.start()
        query = run.query(order=range(4))
        labelers.publish(query)
        run.look(labelers)
        version = run.studio.projects[run.project]["model_version"]
        run.look(labelers)
        assert run.studio.projects[run.project]["model_version"] == version
        offers = query.peek(9)
        monkeypatch.setattr(query, "peek", lambda count: [offers[3], *offers[:3]])
        run.look(labelers)
        assert run.stream() == [3, 0, 1, 2]

    def test_at_most_rows_where_nothing_is_limited(self, run: Any) -> None:
        labelers = run.start(rows=3)
        labelers.publish(run.query())
        run.look(labelers)
        assert run.stream() == [0, 1, 2]

    def test_addresses_in_place_of_the_samples(self, run: Any) -> None:
        labelers = run.start(urls="https://example.org/{sample_id}.png")
        labelers.publish(run.query(order=[3]))
        run.look(labelers)
        (task,) = run.studio.tasks.values()
        assert task["data"]["image"] == "https://example.org/3.png"

    def test_samples_that_arrive_later_become_tasks_too(self, run: Any) -> None:
        data = make_data()
        labelers = run.start(data)
        labelers.publish(run.query(order=range(2)))
        run.look(labelers)
        data.add([(torch.ones(1, 4, 4), 0)], labels=[0])
        labelers.prepare(overlap=1, accept_changes=False)
        labelers.publish(run.query(1, order=[20, 1]))
        run.look(labelers)
        assert run.stream() == [20, 1, 0]
        run.answer(20, ["dog"])
        assert says(run.look(labelers)) == [(20, 1, "ann@example.com")]

    def test_samples_that_have_tasks_keep_their_ranks(self, run: Any) -> None:
        labelers = run.start()
        assert labelers.exported == set()
        labelers.publish(run.query(order=[5, 1, 9], allowed=2))
        run.look(labelers)
        assert labelers.exported == {5, 1}
        run.answer(5, ["dog"])
        run.look(labelers)
        again = run.start()
        again.publish(run.query(order=[5, 1, 9], allowed=2))
        run.look(again)
        assert again.exported == {5, 1}

    def test_a_picture_that_vanished_ends_no_run(
        self, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        labelers = run.start()
        shown = labelers._contents._shown

        def vanished(sample_id: int) -> ShownSample:
            return ShownSample(sample_id, str(run.path / "vanished.png"))

        monkeypatch.setattr(shown, "of", vanished)
        labelers.publish(run.query(order=[5, 1]))
        run.look(labelers)
        assert run.stream() == [5, 1]
        warnings = [
            record.getMessage() for record in caplog.records if record.levelname == "WARNING"
        ]
        assert warnings[0].startswith("sample 5 has no picture (the file cannot be read")

    def test_large_imports_are_several_requests(
        self, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lightning_badge.labelers.label_studio.tasks._AT_MOST_TASKS", 3)
        labelers = run.start()
        labelers.publish(run.query(order=range(8)))
        run.look(labelers)
        assert run.stream() == list(range(8))
        assert run.studio.requests.count(("POST", f"/api/projects/{run.project}/import")) == 3


class TestAnswers:
    @pytest.fixture
    def labelers(self, run: Any) -> Any:
        labelers = run.start()
        labelers.publish(run.query(order=range(6)))
        run.look(labelers)
        return labelers

    def test_labels_and_skips_with_rank_time_and_annotator(self, run: Any, labelers: Any) -> None:
        run.answer(2, ["dog"], user=2)
        run.answer(0, None)
        first, second = run.look(labelers)
        assert says([first, second]) == [(2, 1, "bob@example.com"), (0, SKIP, "ann@example.com")]
        assert (first.round, first.rank, first.seconds) == (0, 2, 1.5)

    def test_a_change_counts_once_and_a_deletion_is_undone(self, run: Any, labelers: Any) -> None:
        number = run.answer(1, ["dog"])
        assert says(run.look(labelers)) == [(1, 1, "ann@example.com")]
        labelers._desk.read_at = -99.0  # no count tells of a change
        run.studio.change(number, ["cat"])
        assert says(run.look(labelers)) == [(1, 0, "ann@example.com")]
        assert run.look(labelers) == []
        run.studio.delete(number)
        assert says(run.look(labelers)) == [(1, UNDO, "ann@example.com")]
        assert 1 in run.stream()
        run.answer(1, ["dog"])
        assert says(run.look(labelers)) == [(1, 1, "ann@example.com")]
        assert [a.label for a in run.store.answers()] == [1, 0, UNDO, 1]

    def test_a_task_that_is_deleted_keeps_its_answer(self, run: Any, labelers: Any) -> None:
        run.answer(1, ["dog"])
        run.look(labelers)
        del run.studio.tasks[run.task_of(1)]
        labelers._desk.tasks.full_read_at = -float("inf")
        assert run.look(labelers) == []
        assert run.store.labels() == {1: 1}

    def test_a_task_that_is_deleted_unanswered_is_added_again(
        self, run: Any, labelers: Any
    ) -> None:
        del run.studio.tasks[run.task_of(1)]
        labelers._desk.tasks.full_read_at = -float("inf")
        run.look(labelers)
        assert run.stream() == [0, 1, 2, 3, 4, 5]

    def test_an_answer_that_cannot_be_used_is_named_once(
        self, run: Any, labelers: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        run.answer(0, ["unicorn"])
        run.answer(1, ["cat", "dog"])
        run.answer(2, [])
        assert run.look(labelers) == []
        assert run.look(labelers) == []
        assert len(caplog.records) == 3
        assert "of ann@example.com: label 'unicorn': expected one of cat, dog" in caplog.text
        assert run.stream()[:3] == [0, 1, 2]  # they are asked again

    def test_no_change_is_read_twice_once_all_before_it_are_visible(
        self, run: Any, labelers: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, now = [], 100.0
        monkeypatch.setattr("lightning_badge.labelers.label_studio.tasks._clock", lambda: now)
        monkeypatch.setattr(
            labelers._desk.tasks, "_task_of", lambda facts: read.append(facts["id"])
        )
        for now in (100.0, 105.0, 111.0, 112.0):
            read.append(now)
            labelers._desk.tasks.read_changed()
        tasks = list(run.studio.tasks)
        assert read == [100.0, *tasks, 105.0, *tasks, 111.0, 112.0]

    def test_one_whose_class_is_accepted_later_counts_from_the_next_query_on(
        self, run: Any, labelers: Any
    ) -> None:
        run.answer(0, ["cow"])
        assert run.look(labelers) == []
        run.classes = ClassList(run.store, ("cat", "dog", "cow"))
        labelers.publish(run.query(1, order=range(6)))
        assert says(run.look(labelers)) == [(0, 2, "ann@example.com")]

    def test_two_annotators_answer_where_overlap_asks_for_them(self, run: Any) -> None:
        labelers = run.start()
        labelers.prepare(overlap=2, accept_changes=False)
        labelers.publish(run.query(order=range(3), overlap=2))
        run.look(labelers)
        assert run.studio.projects[run.project]["maximum_annotations"] == 2
        run.answer(0, ["cat"], user=1)
        assert says(run.look(labelers)) == [(0, 0, "ann@example.com")]
        assert run.stream(1) == [1, 2]
        assert run.stream(2) == [0, 1, 2]
        run.answer(0, ["dog"], user=2)
        assert says(run.look(labelers)) == [(0, 1, "bob@example.com")]
        assert run.stream(2) == [1, 2]

    def test_a_sample_without_agreement_is_asked_again(self, run: Any) -> None:
        run.store.set_consensus("majority")
        run.studio.users[3] = "cy@example.com"
        labelers = run.start()
        labelers.prepare(overlap=2, accept_changes=False)
        labelers.publish(run.query(order=range(3), overlap=2))
        run.look(labelers)
        run.answer(2, ["cat"], user=1)
        run.answer(2, ["dog"], user=2)
        run.look(labelers)
        assert run.stream(3) == [2, 0, 1]
        run.answer(2, ["dog"], user=3)
        run.look(labelers)
        assert run.store.labels() == {2: 1}

    def test_those_given_while_a_model_is_trained_count_later(
        self, run: Any, labelers: Any
    ) -> None:
        labelers.close()  # the loop trains, or a process was killed
        run.answer(3, ["dog"])
        labelers.publish(query := run.query(1, order=[2, 3, 4]))
        assert says(run.look(labelers)) == [(3, 1, "ann@example.com")]
        assert query.progress().labels == 1
        assert run.stream() == [2, 4, 0, 1, 5]

    def test_what_another_name_of_the_server_says_again_is_known(
        self, run: Any, labelers: Any
    ) -> None:
        run.answer(3, ["dog"])
        run.look(labelers)
        again = run.start(url=run.url.replace("127.0.0.1", "localhost"))
        again.publish(run.query())
        assert run.look(again) == []
        assert len(run.studio.projects) == 1

    def test_of_a_user_whom_nobody_may_list(self, run: Any, labelers: Any) -> None:
        run.answer(3, ["dog"], user=77)
        assert says(run.look(labelers)) == [(3, 1, "user 77")]


class TestSeveralClasses:
    def test_a_sample_may_have_several_or_none(self, run: Any) -> None:
        data = make_multilabel()
        run.classes = type(run.classes)(run.store, ("cat", "dog"), multilabel=True)
        labelers = run.start(data)
        labelers.publish(run.query(order=range(3)))
        run.look(labelers)
        assert 'choice="multiple"' in run.studio.projects[run.project]["label_config"]
        run.answer(0, ["dog", "cat"])
        run.answer(1, ["dog"])
        run.answer(2, [])
        assert [a.label for a in run.look(labelers)] == [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]


def make_multilabel() -> Any:
    labels = [[float(n % 2), 1.0] for n in range(20)]
    pairs = [(torch.full((1, 4, 4), n / 20), label) for n, label in enumerate(labels)]
    data = ActiveLearningDataModule(
        pairs, initial_labeled=[], labels=labels, class_names=["cat", "dog"]
    )
    data.multilabel = True
    return data


class TestOutages:
    def go(self, run: Any, labelers: Any, batches: int) -> None:
        for batch in itertools.islice(labelers.collect(), batches):
            run.store.add(batch)

    @pytest.fixture(autouse=True)
    def no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "lightning_badge.labelers.label_studio.labelers._waiting", lambda seconds: iter([[]])
        )

    def test_a_server_that_is_away_at_first_is_said_once_and_waited_for(
        self, run: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        run.studio.is_away = True
        labelers = run.start()
        labelers.prepare(overlap=1, accept_changes=False)
        labelers.publish(run.query(order=range(3)))
        self.go(run, labelers, 5)
        assert [record.getMessage() for record in caplog.records] == [
            f"Label Studio at {run.url} does not answer (Server disconnected without sending a "
            "response.); trying again until it does (answers wait there; Ctrl-C ends the run)"
        ]
        run.studio.is_away = False
        self.go(run, labelers, 3)
        assert run.stream() == [0, 1, 2]
        assert caplog.messages[1:] == ["Label Studio answers again"]

    @pytest.mark.parametrize(
        "lost",
        [
            "POST /api/projects/$",
            "POST .*/import$",
            "POST .*/predictions$",
            "PATCH /api/projects",
            "GET /api/tasks/",
            "GET /api/users/",
        ],
    )
    def test_a_reply_that_is_lost_doubles_nothing(self, run: Any, lost: str) -> None:
        labelers = run.start()
        run.studio.loses.append(lost)
        labelers.publish(run.query(order=range(4), allowed=4))
        self.go(run, labelers, 4)
        assert run.stream() == [0, 1, 2, 3]
        run.answer(1, ["dog"])
        run.answer(2, ["dog"])
        run.studio.loses.append(lost)
        labelers.publish(run.query(1, order=[3, 0, 5], allowed=5))
        self.go(run, labelers, 6)
        assert run.stream() == [3, 0, 5]
        assert [a.sample_id for a in run.store.answers()] == [1, 2]
        assert len(run.studio.projects) == 1
        assert len(run.studio.tasks) == 5

    def test_answers_of_a_page_before_the_one_that_failed_are_not_lost(
        self, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lightning_badge.labelers.label_studio.client.PAGE_SIZE", 5)
        labelers = run.start()
        labelers.publish(run.query())
        self.go(run, labelers, 2)
        for sample_id in range(20):
            run.answer(sample_id, ["cat"])
        pages = 0
        reply = run.studio.reply

        def third_page_fails(method: str, target: str, *more: Any) -> Any:
            nonlocal pages
            pages += target.startswith("/api/tasks/")
            fails = pages == 3 and target.startswith("/api/tasks/")
            return (503, {}) if fails else reply(method, target, *more)

        monkeypatch.setattr(run.studio, "reply", third_page_fails)
        self.go(run, labelers, 4)
        assert pages > 5
        assert sorted(a.sample_id for a in run.store.answers()) == list(range(20))

    @pytest.mark.parametrize("status", [500, 502, 503, 429])
    def test_statuses_that_pass_are_waited_for(self, run: Any, status: int) -> None:
        labelers = run.start()
        run.studio.statuses = [status] * 3
        labelers.publish(run.query(order=range(2)))
        self.go(run, labelers, 6)
        assert run.stream() == [0, 1]


class TestWithoutWaiting:
    def test_it_reads_what_is_there_and_says_where_people_label(self, run: Any) -> None:
        labelers = run.start(wait=False)
        labelers.publish(run.query(order=range(3)))
        assert list(labelers.collect()) == [[]]
        assert run.stream() == [0, 1, 2]
        run.answer(1, ["cat"])
        again = run.start(wait=False)
        again.publish(run.query(order=range(3)))
        (batch,) = again.collect()
        assert says(batch) == [(1, 0, "ann@example.com")]
        page = f"{run.url}/projects/{run.project}/data?labeling=1"
        assert again.to_do().startswith(f"label at {page} and run the same command again")

    def test_a_server_that_is_away_is_an_error(self, run: Any) -> None:
        run.studio.is_away = True
        labelers = run.start(wait=False)
        with pytest.raises(LabelError, match="does not answer"):
            labelers.prepare(overlap=1, accept_changes=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "localhost:8080"}, "labelers.url: expected an address"),
        ({"url": "http://ann:secret@localhost"}, "without user, password and query"),
        ({"project": "ab"}, "labelers.project: expected an id, a title"),
        ({"rows": 0}, "labelers.rows: expected a positive integer"),
        ({"wait": "no"}, "labelers.wait: expected true or false"),
        ({"poll": 0}, "labelers.poll: expected a positive number"),
        ({"urls": "photo"}, "labelers.urls: expected a template"),
    ],
)
def test_wrong_options_are_one_line(run: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        run.start(**options)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)

"""The project of a run: created once, or adopted, with settings that people's stream needs."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from studio_run import Run

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.labeling_config import (
    make_config,
    read_config,
    with_classes,
)
from lightning_badge.labelers.label_studio.project import NAME

OWN = (
    '<View><Header value="What is it?"/><Image name="photo" value="$picture"/>'
    '<Choices name="animal" toName="photo"><Choice value="dog"/><Choice value="cat" alias="c"/>'
    '<Choice value="cow"/></Choices></View>'
)


def prepared(run: Run, **options: Any) -> Any:
    labelers = run.start(**options)
    labelers.prepare(overlap=1, accept_changes=False)
    return labelers


def add_project(run: Run, **facts: Any) -> int:
    number = len(run.studio.projects) + 7
    run.studio.projects[number] = {
        "id": number,
        "title": "Animals",
        "description": "",
        "label_config": OWN,
        "sampling": "Sequential sampling",
        "maximum_annotations": 1,
        "skip_queue": "REQUEUE_FOR_OTHERS",
        "model_version": "",
        **facts,
    }
    return number


class TestOfTheRun:
    def test_it_is_created_once_for_all_processes(self, run: Run) -> None:
        for _ in range(3):
            prepared(run).close()
        (facts,) = run.studio.projects.values()
        assert facts["title"] == f"lightning-badge {run.path.name}"[:50]
        assert facts["sampling"] == "Uncertainty sampling"
        assert facts["skip_queue"] == "IGNORE_SKIPPED"

    def test_a_reply_that_was_lost_creates_no_second_one(self, run: Run) -> None:
        run.studio.loses = ["POST /api/projects/$"]
        prepared(run).close()  # as if the server were away
        prepared(run).close()
        assert len(run.studio.projects) == 1

    def test_another_run_has_another_one_with_the_same_title(self, run: Run) -> None:
        prepared(run).close()
        (run.path / NAME).unlink()
        prepared(run).close()
        assert len(run.studio.projects) == 2

    def test_one_that_was_deleted_is_one_line(self, run: Run) -> None:
        prepared(run).close()
        run.studio.projects.clear()
        with pytest.raises(LabelError, match=rf"has no project 1, .*remove .*{NAME}"):
            prepared(run)

    def test_a_damaged_file_is_one_line(self, run: Run) -> None:
        (run.path / NAME).write_text("{")
        with pytest.raises(LabelError, match=rf"{NAME}: cannot be read"):
            prepared(run)

    def test_it_offers_classes_that_were_added(self, run: Run) -> None:
        run.classes = type(run.classes)(run.store, ("cat", "dog"), accept_changes=True)
        labelers = prepared(run)
        labelers.publish(run.query(order=range(3)))
        run.look(labelers)
        run.classes.number("cow & calf")
        run.store.record(0, [(9, 2)], annotator="elsewhere")
        labelers.publish(run.query(1, order=range(3)))
        run.look(labelers)
        assert "cow &amp; calf" in run.studio.projects[run.project]["label_config"]
        run.answer(0, ["cow & calf"])
        assert [answer.label for answer in run.look(labelers)] == [2]


class TestAdopted:
    def test_by_id_with_its_own_configuration(
        self, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        number = add_project(run)
        labelers = prepared(run, project=number)
        labelers.publish(run.query(order=[2]))
        run.look(labelers)
        (task,) = run.studio.tasks_of(number)
        assert task["data"]["picture"].startswith("data:image/png")
        assert "set sampling, skip_queue" in caplog.text
        assert run.studio.projects[number]["label_config"] == OWN
        run.studio.submit(task["id"], ["c"])
        task["annotations"][0]["result"][0]["from_name"] = "animal"
        assert [answer.label for answer in run.look(labelers)] == [0]

    def test_by_title(self, run: Run) -> None:
        add_project(run, title="Animals, others")
        number = add_project(run)
        labelers = prepared(run, project="Animals")
        assert labelers._desk.project.project_id == number

    def test_a_title_that_there_is_not_is_created(self, run: Run) -> None:
        prepared(run, project="Animals").close()
        prepared(run, project="Animals").close()
        assert [facts["title"] for facts in run.studio.projects.values()] == ["Animals"]

    def test_a_title_of_several_is_one_line(self, run: Run) -> None:
        add_project(run), add_project(run)
        with pytest.raises(LabelError, match=r"got 2 \(ids 7, 8\); set labelers.project to an id"):
            prepared(run, project="Animals")

    def test_an_empty_one_gets_a_configuration(self, run: Run) -> None:
        number = add_project(run, label_config="<View></View>")
        prepared(run, project=number)
        assert "<Image" in run.studio.projects[number]["label_config"]

    def test_one_without_our_classes_is_one_line(self, run: Run) -> None:
        number = add_project(run, label_config=OWN.replace("dog", "horse"))
        with pytest.raises(LabelError, match=r"missing are \['dog'\]"):
            prepared(run, project=number)

    def test_one_that_there_is_not_is_one_line(self, run: Run) -> None:
        with pytest.raises(LabelError, match="has no project 99, or none that this token may see"):
            prepared(run, project=99)

    def test_tasks_of_others_do_not_count(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        number = add_project(run)
        for data in ({}, {"sample_id": 999}, {"sample_id": None}):
            run.studio.submit(run.studio.add_task(number, data=data), ["dog"])
        labelers = prepared(run, project=number)
        labelers.publish(run.query())
        assert run.look(labelers) == []
        assert run.look(labelers) == []
        assert caplog.text.count("3 tasks belong to no sample of this run") == 1

    def test_another_setting_leaves_the_first_project(self, run: Run) -> None:
        prepared(run).close()
        number = add_project(run)
        prepared(run, project=number).close()
        assert json.loads((run.path / NAME).read_text())["project"] == number


@pytest.mark.parametrize("kind", ["images", "texts", "tables"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_a_configuration_is_read_as_it_was_made(kind: str, multilabel: bool) -> None:
    classes = ["cat", "R&D <b>", 'a "b"', "  two  spaces ", "größe"]
    text = make_config(kind, classes, multilabel=multilabel)
    config = read_config(text, classes)
    assert set(config.classes.values()) == set(classes)
    assert (config.from_name, config.to_name) == ("label", "sample")
    assert with_classes(text, classes) is None
    grown = with_classes(text, [*classes, "new"])
    assert grown is not None
    assert set(read_config(grown, [*classes, "new"]).classes.values()) == {*classes, "new"}


def test_a_guess_is_an_answer_that_people_see_first(run: Run, tmp_path: Path) -> None:
    import numpy as np

    from lightning_badge.ordering import Ordering

    labelers = prepared(run, guess=True)
    query = run.query(order=range(3))
    query.ordering = Ordering(np.arange(3), hallucinated_label=np.array([0, 1, 1], np.int32))
    labelers.publish(query)
    run.look(labelers)
    results = [task["predictions"][0]["result"] for task in run.studio.tasks_of(run.project)]
    assert [result[0]["value"]["choices"] for result in results] == [["cat"], ["dog"], ["dog"]]

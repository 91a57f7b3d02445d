"""From no label at all: people answer by files, and take away labels, model and predictions."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from lightning_badge.app.handover.export_run import export_run
from lightning_badge.app.main import main
from lightning_badge.datamodule.folder import folder
from lightning_badge.examples.models import MLP, NGrams, SmallCNN

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pictures")]

QUICK = ["trainer.max_steps=8", "trainer.val_check_interval=8", "trainer.accelerator=cpu"]
QUICK += ["labelers=files", "budget=on_demand", "budget.at_least=5", "progress=false"]
QUICK += ["logger=none", "run_dir=run", "data=folder"]
KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "images": (SmallCNN, {"path": "photos", "image_size": 12}),
    "texts": (NGrams, {"path": "mail.csv"}),
    "tables": (MLP, {"path": "t.csv"}),
}


@pytest.fixture
def truth(
    request: pytest.FixtureRequest,
    writers: dict[str, Callable[[Path], list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Writes data without labels into the current folder; returns the labels by sample id."""
    kind = request.getfixturevalue("kind")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    writers[kind](tmp_path)
    file = Path("photos/labels.csv") if kind == "images" else Path(KINDS[kind][1]["path"])
    with file.open(newline="", encoding="utf-8") as opened:
        header, *rows = csv.reader(opened)
    file.unlink()
    if kind != "images":
        with file.open("w", newline="", encoding="utf-8") as opened:
            csv.writer(opened).writerows(row[:-1] for row in [header, *rows])
    return {row[0]: row[-1] for row in rows}


def answer(truth: dict[str, str], number: int, count: int) -> None:
    """Answers the first rows of the query, in turns by two annotators."""
    with Path("run/query.csv").open(newline="", encoding="utf-8") as file:
        asked = [row["sample_id"] for row in csv.DictReader(file)][:count]
    rows = [
        [sample_id, truth[sample_id], ["ann", "bob"][n % 2], 4] for n, sample_id in enumerate(asked)
    ]
    with Path(f"run/answers/{number}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sample_id", "label", "annotator", "seconds"], *rows])


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_of_people_gives_its_predictions(
    kind: str, truth: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model_class, arguments = KINDS[kind]
    names = sorted(set(truth.values()))
    data = [f"data.{key}={value}" for key, value in arguments.items()]
    command = ["loop", *QUICK, *data, f"data.classes={json.dumps(names)}"]
    for number in range(2):
        main(command)
        assert not Path("run/export").exists()  # it waits, so it has not ended
        answer(truth, number, 18)
    main(command)
    capsys.readouterr()
    main(["status", "run", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == 36
    assert facts["by_class"].keys() == set(names)
    assert [row["annotator"] for row in facts["annotators"]] == ["ann", "bob"]
    assert facts["time"]["labels_per_hour"] == pytest.approx(900)
    assert facts["next_step"].startswith("label the rows of ")
    assert facts["next_samples"][0]["guess"] in names

    exported = export_run(Path("run"))
    with (exported.path / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = list(csv.DictReader(file))
    assert len(labels) == 36  # those of validation samples, too
    assert all(truth[row["sample_id"]] == row["label"] for row in labels)
    assert {row["annotator"] for row in labels} == {"ann", "bob"}

    model = model_class.load_from_checkpoint(exported.path / "best.ckpt").eval()
    samples = folder(**arguments, classes=names).samples
    table = pq.read_table(exported.path / "predictions.parquet").to_pydict()
    rows = [list(samples.sample_ids).index(sample_id) for sample_id in table["sample_id"]]
    inputs = samples.inputs[rows]
    inputs = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
    with torch.no_grad():
        confidence, predicted = model(inputs.contiguous()).softmax(1).max(1)
    assert table["label"] == [names[number] for number in predicted.tolist()]
    assert table["confidence"] == confidence.tolist()
    assert not set(map(str, table["sample_id"])) & {row["sample_id"] for row in labels}


@pytest.mark.parametrize("kind", ["texts"])
def test_a_class_that_people_add_is_handed_over(
    kind: str, truth: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(set(truth.values()))
    command = ["loop", *QUICK, "data.path=mail.csv", f"data.classes={json.dumps(names)}"]
    main(command)
    new = {
        sample_id: "spam" if int(sample_id) % 3 == 0 else text for sample_id, text in truth.items()
    }
    answer(new, 0, 30)
    main([*command, "accept_changes=true"])
    capsys.readouterr()
    main(["status", "run", "--json"])
    assert json.loads(capsys.readouterr().out)["by_class"]["spam"] > 5
    exported = export_run(Path("run"))
    with (exported.path / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["sample_id"]: row["label"] for row in csv.DictReader(file)}
    assert len(labels) == 30
    assert all(new[sample_id] == label for sample_id, label in labels.items())
    predicted = pq.read_table(exported.path / "predictions.parquet")["label"].to_pylist()
    assert set(predicted) <= {*names, "spam"}

"""Exports of whole runs: what is handed over is complete, and fits together."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule

from lightning_badge.app.handover import export_run as module
from lightning_badge.app.handover.export_run import export_run
from lightning_badge.app.main import main
from lightning_badge.datamodule.folder import FolderDataModule, folder
from lightning_badge.datamodule.folder.known_labels import read_label_file
from lightning_badge.durable.digest import sha256_of
from lightning_badge.examples.models import MLP, NGrams, SmallCNN
from lightning_badge.exceptions import BadgeError, RunDirectoryError
from lightning_badge.labels import SKIP
from lightning_badge.store.label_store import LabelStore

pytestmark = pytest.mark.slow

MakeRun = Callable[[str], Path]
FILES = {"labels.csv", "best.ckpt", "predictions.parquet", "report.html"}
MODELS: dict[str, type[LightningModule]] = {
    "images": SmallCNN,
    "texts": NGrams,
    "tables": MLP,
    "several": MLP,
}
DATA: dict[str, dict[str, Any]] = {
    "images": {"path": "photos", "labels": "labels.csv", "image_size": 12},
    "texts": {"path": "mail.csv"},
    "tables": {"path": "t.csv"},
    "several": {"path": "t.csv", "multilabel": True, "val_size": 20},
}


@pytest.fixture
def run(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Returns a function that copies a run and enters the folder in which it ran."""

    def copy(kind: str) -> Path:
        made = make_run(kind)
        shutil.copytree(made.parent, tmp_path / "work")
        monkeypatch.chdir(tmp_path / "work")
        return tmp_path / "work" / "run"

    return copy


def read_labels(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", MODELS)
def test_the_checkpoint_loaded_by_lightning_gives_the_predictions(
    run: Callable[[str], Path], kind: str
) -> None:
    exported = export_run(run(kind))
    assert {path.name for path in exported.path.iterdir()} == FILES
    model = MODELS[kind].load_from_checkpoint(exported.path / "best.ckpt").eval()
    datamodule = folder(**DATA[kind])
    table = pq.read_table(exported.path / "predictions.parquet").to_pydict()
    position_of = {key: row for row, key in enumerate(datamodule.samples.sample_ids)}
    inputs = datamodule.samples.inputs[[position_of[key] for key in table["sample_id"]]]
    with torch.no_grad():
        inputs = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
        logits = model(inputs.contiguous())
    names = datamodule.class_names
    assert names is not None
    if kind == "several":
        probability = logits.sigmoid()
        labels = [
            "|".join(name for name, p in zip(names, row, strict=True) if p > 0.5) or "none"
            for row in probability.tolist()
        ]
        confidence = torch.maximum(probability, 1 - probability).amin(1)
    else:
        confidence, label = logits.softmax(1).max(1)
        labels = [names[number] for number in label.tolist()]
    assert table["label"] == labels
    assert table["confidence"] == confidence.tolist()
    assert len(set(table["label"])) > 1
    check_parts(exported.path, datamodule)


def check_parts(path: Path, datamodule: FolderDataModule) -> None:
    """Labels, predictions and validation samples are all samples, each once."""
    labeled = read_label_file(path / "labels.csv", datamodule.samples.sample_ids)
    predicted = pq.read_table(path / "predictions.parquet")["sample_id"].to_pylist()
    trained = set(datamodule.labeled_ids.tolist()) | set(datamodule.pool_ids.tolist())
    assert len(predicted) == len(set(predicted))
    assert set(labeled) | set(predicted) == trained
    assert not set(labeled) & set(predicted)


def test_labels_are_the_initial_ones_and_the_answers(run: Callable[[str], Path]) -> None:
    path = run("texts")
    with LabelStore(path / "labels.db") as store:
        first, second, *_ = store.labels()
        store.record(0, [(first, SKIP)], annotator="ann")
        store.record(0, [(second, 1)], annotator='ann; she said "hm"')
        answers = store.in_force()
    rows = read_labels(export_run(path).path / "labels.csv")
    assert [row["annotator"] for row in rows[:6]] == [""] * 6
    assert [(row["sample_id"], row["when"]) for row in rows[6:]] == [
        (str(answer.sample_id), answer.received_at.isoformat())
        for answer in answers.values()
        if answer.label is not SKIP
    ]
    assert rows[-1]["annotator"] == 'ann; she said "hm"'
    assert str(first) not in {row["sample_id"] for row in rows}
    assert {row["label"] for row in rows} <= {"above", "<b>below</b>"}


def test_answers_that_the_data_cannot_use_are_left_out(
    run: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = run("texts")
    with LabelStore(path / "labels.db") as store:
        before = len(store.labels())
        store.record(0, [("nobody", 0), (next(iter(store.labels())), 7)], annotator="ann")
    exported = export_run(path)
    assert exported.labels == before + 6
    assert "ignoring 2 answers" in caplog.text


def test_metadata_name_the_checkpoint(run: Callable[[str], Path]) -> None:
    exported = export_run(run("tables"))
    schema = pq.read_schema(exported.path / "predictions.parquet")
    facts = json.loads(schema.metadata[b"lightning_badge"])
    assert facts["model"] == exported.model == "lightning_badge.examples.models.MLP"
    assert facts["sha256"] == module.digest_of(exported.path / "best.ckpt")


def test_a_round_can_be_chosen(run: Callable[[str], Path]) -> None:
    path = run("tables")
    exported = export_run(path, path.parent / "first", round=0)
    assert exported.round == 0
    checkpoint = (path / "rounds" / "000" / "best.ckpt").read_bytes()
    assert (path.parent / "first" / "best.ckpt").read_bytes() == checkpoint
    with pytest.raises(RunDirectoryError, match="--round: expected one of 0, 1, got 7"):
        export_run(path, round=7)


@pytest.mark.parametrize("content", [b"", b"altered"])
def test_a_damaged_model_is_refused_and_another_round_can_be_chosen(
    run: Callable[[str], Path], content: bytes
) -> None:
    path = run("tables")
    best = export_run(path).round
    (path / "rounds" / f"{best:03d}" / "best.ckpt").write_bytes(content)
    before = {it.name: it.read_bytes() for it in (path / "export").iterdir()}
    with pytest.raises(RunDirectoryError, match=r"best\.ckpt: .*restore it .*or .*--round N"):
        export_run(path)
    assert {it.name: it.read_bytes() for it in (path / "export").iterdir()} == before
    assert export_run(path, round=1 - best).round == 1 - best


def test_the_best_round_is_exported_and_the_later_one_of_equals(
    run: Callable[[str], Path],
) -> None:
    path = run("tables")
    metrics = path / "rounds" / "001" / "metrics.json"
    facts = json.loads(metrics.read_text())
    with LabelStore(path / "labels.db") as store:
        first = store.rounds()[0].facts["metrics"]["val/accuracy"]
    for value, best in [(first, 1), (first - 0.1, 0), (first + 0.1, 1), (None, 0)]:
        facts["metrics"]["val/accuracy"] = value
        metrics.write_text(json.dumps(facts))
        assert export_run(path).round == best


def test_an_exhausted_pool_has_no_predictions(run: Callable[[str], Path]) -> None:
    path = run("tables")
    datamodule = folder(**DATA["tables"])
    with LabelStore(path / "labels.db") as store:
        rest = set(datamodule.pool_ids.tolist()) | set(datamodule.labeled_ids.tolist())
        store.record(1, [(key, 0) for key in sorted(rest)], annotator="ann")
    exported = export_run(path)
    table = pq.read_table(exported.path / "predictions.parquet")
    assert table.num_rows == exported.predictions == 0
    assert str(table.schema.field("sample_id").type) == "string"
    assert "Hardest samples" not in (exported.path / "report.html").read_text()


def test_a_failure_leaves_the_earlier_export(
    run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run("tables")
    exported = export_run(path)
    before = {file.name: file.read_bytes() for file in exported.path.iterdir()}

    def break_off(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "render_report", break_off)
    with pytest.raises(KeyboardInterrupt):
        export_run(path, round=0)
    assert {file.name: file.read_bytes() for file in exported.path.iterdir()} == before
    assert not [entry for entry in path.iterdir() if entry.name.startswith(".")]


def test_the_run_itself_is_not_changed(run: Callable[[str], Path]) -> None:
    path = run("tables")

    def contents() -> dict[Path, bytes]:
        files = (file for file in path.rglob("*") if file.is_file())
        return {file: file.read_bytes() for file in files if "export" not in file.parts}

    before = contents()
    export_run(path)
    assert contents() == before


def test_data_may_have_moved(run: Callable[[str], Path]) -> None:
    path = run("tables")
    Path("t.csv").rename("moved.csv")
    with pytest.raises(Exception, match=r"t\.csv"):
        export_run(path)
    assert export_run(path, overrides=["data.path=moved.csv"]).labels == 16


UNSAVED = """
from lightning.pytorch import LightningModule
from torch import nn

class Net(LightningModule):
    def __init__(self, width):
        super().__init__()
        self.hidden, self.head = nn.Linear(5, width), nn.Linear(width, 2)

    def forward(self, inputs):
        return self.head(self.hidden(inputs).relu())
"""


def test_a_model_that_saves_no_hyperparameters_is_exported_too(
    run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run("tables")
    Path("unsaved_model.py").write_text(UNSAVED)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import unsaved_model

    torch.manual_seed(0)
    net = unsaved_model.Net(7)
    saved = {"state_dict": net.state_dict(), "pytorch-lightning_version": "2.5.0"}
    checkpoint = path / "rounds" / "001" / "best.ckpt"
    torch.save(saved, checkpoint)
    metrics = checkpoint.with_name("metrics.json")
    facts = json.loads(metrics.read_text())
    facts["files"] = {"best.ckpt": sha256_of(checkpoint)}
    metrics.write_text(json.dumps(facts))
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["model"] = {"_target_": "unsaved_model.Net", "width": 7}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    exported = export_run(path, round=1)
    table = pq.read_table(exported.path / "predictions.parquet").to_pydict()
    loaded = unsaved_model.Net.load_from_checkpoint(exported.path / "best.ckpt", width=7)
    datamodule = folder(**DATA["tables"])
    position_of = {key: row for row, key in enumerate(datamodule.samples.sample_ids)}
    inputs = datamodule.samples.inputs[[position_of[key] for key in table["sample_id"]]]
    assert table["confidence"] == loaded(inputs).softmax(1).amax(1).tolist()
    assert "the arguments that the model was built with" in (
        (exported.path / "report.html").read_text()
    )
    config["model"]["width"] = 8
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(BadgeError, match=r"best\.ckpt: expected weights of Net: "):
        export_run(path, round=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data.path"], "expected values of the data such as data.path=DIR, got data.path"),
        (["seed=3"], "expected values of the data such as data.path=DIR, got seed=3"),
        (["data.path=nowhere"], "nowhere: expected a folder or a file, found neither"),
        (["--round", "5"], "--round: expected one of 0, 1, got 5"),
        (["--out", "."], "expected an earlier export, an empty folder or none"),
    ],
)
def test_a_wrong_command_is_one_line(
    run: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    path = run("tables")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as exit:
        main(["export", str(path), *arguments])
    error = capsys.readouterr().err + str(exit.value.code)
    assert expected in error
    assert "Traceback" not in error
    assert not (path / "export").exists()


def test_a_run_without_a_model_is_one_line(run: Callable[[str], Path]) -> None:
    path = run("tables")
    shutil.rmtree(path / "rounds")
    with pytest.raises(BadgeError, match="expected a trained model, but no round has one yet"):
        export_run(path)


def test_the_command_says_what_it_wrote(
    run: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = run("tables")
    monkeypatch.setattr(sys, "path", list(sys.path))
    main(["export", str(path), "--out", "handover"])
    printed = capsys.readouterr().out
    assert "labels.csv: 16 labels" in printed
    assert "lightning_badge.examples.models.MLP" in printed
    assert {entry.name for entry in Path("handover").iterdir()} == FILES

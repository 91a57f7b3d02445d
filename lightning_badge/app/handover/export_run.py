"""Writes what a run hands over into one folder, complete or not at all."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from lightning_badge.app.handover.labels_csv import write_labels
from lightning_badge.app.handover.predictions import (
    digest_of,
    load_model,
    predict,
    write_predictions,
)
from lightning_badge.app.handover.report import render_report
from lightning_badge.app.handover.run_data import Model, load_run
from lightning_badge.app.status.run_files import read_run
from lightning_badge.app.status.todo import why_ended
from lightning_badge.durable.folder import replacing_folder
from lightning_badge.durable.leftovers import sweep
from lightning_badge.exceptions import RunDirectoryError

LABELS, MODEL, PREDICTIONS, REPORT = "labels.csv", "best.ckpt", "predictions.parquet", "report.html"
FOLDER = "export"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The folder.
        labels: Number of labels.
        predictions: Number of predictions.
        round: The round whose labels the model was trained on.
        model: Dotted name of its class.
        is_fine_tuned: Whether it is encoder and head, fine-tuned together.
    """

    path: Path
    labels: int
    predictions: int
    round: int
    model: str
    is_fine_tuned: bool


def export_if_ended(run_dir: Path) -> Exported | None:
    """Exports a run that has reached its end; returns None if it waits for labels."""
    return export_run(run_dir) if why_ended(read_run(run_dir)) else None


def export_run(
    run_dir: Path,
    out: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    round: int | None = None,
    model: Model = "best",
) -> Exported:
    """Writes labels, the best model, its predictions and a report.

    The exported checkpoint, loaded by ``load_from_checkpoint``, gives the exported predictions.

    Args:
        run_dir: The run directory.
        out: The folder, new or of an earlier export; None for ``export`` in the run directory.
        overrides: Values of the data's configuration to change, such as ``data.path=DIR``.
        round: The round whose model to export; None for the one with the best metric.
        model: As in `load_run`.

    Raises:
        BadgeError: No run, no trained model, data that cannot be loaded, or a folder with other
            files. Nothing is written then.
    """
    run = load_run(run_dir, overrides, round=round, model=model)
    out = run.files.path / FOLDER if out is None else out
    names = (LABELS, MODEL, PREDICTIONS, REPORT)
    sweep(out.parent, out.name.__eq__)
    with replacing_folder(out, names, error=RunDirectoryError) as folder:
        shutil.copyfile(run.checkpoint, folder / MODEL)
        loaded = load_model(run, folder / MODEL)
        predictions = predict(run, loaded.model)
        count = write_labels(run, folder / LABELS)
        write_predictions(
            predictions,
            folder / PREDICTIONS,
            model=loaded.name,
            round=run.round,
            fine_tuned=run.is_fine_tuned,
            sha256=digest_of(folder / MODEL),
        )
        report = render_report(run, loaded, predictions, datetime.now(timezone.utc))
        (folder / REPORT).write_text(report, encoding="utf-8")
    return Exported(out, count, len(predictions.labels), run.round, loaded.name, run.is_fine_tuned)

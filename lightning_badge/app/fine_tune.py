"""Trains the whole model, encoder and head, on all labels at the end of a run."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig

from lightning_badge.app.frozen_encoder import Chosen
from lightning_badge.app.processes import ALONE
from lightning_badge.app.status.run_files import read_run
from lightning_badge.app.status.todo import why_ended
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.encoded import use_raw
from lightning_badge.examples.fine_tuned import FineTuned
from lightning_badge.examples.frozen import LogisticHead
from lightning_badge.exceptions import EncoderError, RunDirectoryError
from lightning_badge.loop.train_round import train_round
from lightning_badge.store.round_files import (
    CHECKPOINT,
    METRICS,
    damage_of_checkpoint,
    kept_files,
    read_facts,
)
from lightning_badge.store.run_directory import RunDirectory

FOLDER = "fine_tuned"
_log = logging.getLogger(__name__)


def check_fine_tune(config: DictConfig, chosen: Chosen | None) -> None:
    """Raises an EncoderError if ``fine_tune=true`` has nothing to train."""
    if config.fine_tune and (chosen is None or chosen.encoder.module is None):
        got = "none" if chosen is None else chosen.encoder.name
        raise EncoderError(f"fine_tune=true: expected an encoder with weights, got {got}")


def fine_tune_if_ended(
    config: DictConfig,
    datamodule: ActiveLearningDataModule,
    chosen: Chosen,
    run_directory: RunDirectory,
) -> Path | None:
    """Trains encoder and head on all labels, if the run has ended and no model has these labels.

    The head begins with the weights of the last round. The Trainer is that of the rounds. The
    folder ``fine_tuned`` gets ``best.ckpt`` and ``metrics.json``.

    Returns:
        The folder; None if the run has not ended.
    """
    files = read_run(run_directory.path)
    if not why_ended(files):
        return None
    folder = run_directory.path / FOLDER
    last = max(files.round_facts)
    facts = {
        "round": last,
        "labeled": len(datamodule.labeled_ids),
        "frozen": files.round_facts[last].get("metrics", {}),
    }
    if _stored(folder, facts):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    use_raw(datamodule, chosen.samples, chosen.encoder.collate)

    def make_model() -> LightningModule:
        model = FineTuned(config.classes, chosen.encoder, multilabel=config.model.multilabel)
        if isinstance(instantiate(config.model), LogisticHead):
            before = run_directory.checkpoint_path(last)
            if damage := damage_of_checkpoint(before.parent):
                raise RunDirectoryError(f"{damage}; run again: the round is trained again")
            model.begin_with(LogisticHead.load_from_checkpoint(before, map_location="cpu"))
        return model

    def make_trainer(_: int, directory: Path) -> Trainer:
        keep = ModelCheckpoint(
            directory,
            Path(CHECKPOINT).stem,
            monitor=config.metric,
            mode="max",
            save_weights_only=True,
            enable_version_counter=False,
        )
        # The other processes of the rounds have ended.
        trainer: Trainer = instantiate(config.trainer, callbacks=[keep], logger=False, **ALONE)
        return trainer

    report = train_round(
        last,
        make_model=make_model,
        make_trainer=make_trainer,
        datamodule=datamodule,
        directory=folder,
        checkpoint=folder / CHECKPOINT,
        seed=config.seed,
        metric=config.metric,
        progress=config.progress,
    )
    facts |= {"metrics": report.metrics, "files": kept_files(folder)}
    run_directory.write_text(folder / METRICS, json.dumps(facts, indent=2) + "\n")
    _log.info(
        "fine-tuned encoder and head on %d labels: %s %.4f, frozen %.4f",
        report.labeled,
        config.metric,
        report.value(config.metric),
        float(facts["frozen"].get(config.metric) or float("nan")),
    )
    return folder


def read_fine_tuned(run_path: Path) -> Mapping[str, Any] | None:
    """Returns the facts of a run's fine-tuned model; None if it has none.

    They are ``round`` and ``labeled``, the labels on which it was trained, and the values of the
    metrics: its own (``metrics``) and those of the frozen model with the same labels (``frozen``).
    """
    folder = run_path / FOLDER
    facts = read_facts(folder)
    return facts if facts and (folder / CHECKPOINT).is_file() else None


def _stored(folder: Path, facts: dict[str, object]) -> bool:
    """Returns whether a model has been trained on these labels, and its checkpoint is whole."""
    stored = read_facts(folder)
    is_same = bool(stored) and all(stored.get(key) == value for key, value in facts.items())
    if is_same and (damage := damage_of_checkpoint(folder)):
        _log.warning("%s; encoder and head are trained again", damage)
        return False
    return is_same

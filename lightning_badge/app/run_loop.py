"""Runs the active learning loop configured by ``configs/al_loop.yaml`` and the command line."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf

from lightning_badge.app.budget_of_run import change_at_start, make_budget
from lightning_badge.app.coverage_check import check_coverage
from lightning_badge.app.data_facts import fill_in
from lightning_badge.app.earlier_configs import upgraded
from lightning_badge.app.environment import hide_in_logs, resolved, unresolved
from lightning_badge.app.fine_tune import check_fine_tune, fine_tune_if_ended
from lightning_badge.app.fresh_start import advice_of, begins_anew, forget_if_ended, remember
from lightning_badge.app.frozen_encoder import (
    Chosen,
    choose_encoder,
    embed_data,
    read_features,
    with_samples_of,
)
from lightning_badge.app.handover.export_run import export_if_ended
from lightning_badge.app.identity import identity_keys
from lightning_badge.app.prices import commit_prices
from lightning_badge.app.processes import ends_with_others, quiet_unless_first, start_workers
from lightning_badge.app.run_samples import load_data, make_arrivals
from lightning_badge.app.supervise.child_side import is_supervised
from lightning_badge.app.supervise.plan import PAGE
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder import FolderDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers import DatasetLabelers, Labelers
from lightning_badge.labels import Label
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.cold_start import check_cold_start
from lightning_badge.loop.train_round import round_seed, train_round
from lightning_badge.loop.workers import Workers
from lightning_badge.sample_ids import SampleId, as_sample_ids, fingerprint
from lightning_badge.stopping import end_at_once_by_signals
from lightning_badge.store.budget_changes import budget_in_force
from lightning_badge.store.consensus import check_consensus
from lightning_badge.store.kept_answers import check_store_exists, set_aside_unknown
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_path import folder_of_run

CONFIGS = "pkg://lightning_badge.configs"
LOOP_KEYS = (
    *("seed", "metric", "max_rounds", "total_labels", "target_metric", "progress"),
    *("cold_start", "overlap", "accept_changes"),
)


def run_loop(arguments: Sequence[str] | None = None, *, program: str | None = None) -> None:
    """Runs the loop, or what Hydra's options ask for instead.

    Args:
        arguments: Overrides such as ``budget=variable``; those of this process where None.
        program: Name of the command, for completions.
    """
    run(_main, arguments, program=program, keys=config_keys)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="al_loop")
@one_line_errors()
@ends_with_others()
def _main(config: DictConfig) -> float:
    """Runs the loop and returns the metric of its last round."""
    quiet_unless_first()
    hide_in_logs()
    run_path = folder_of_run(config.run_dir)
    _check_page(config)
    given = config.copy()
    config.fresh = is_anew = begins_anew(config)
    datamodule = load_data(config.data, None if is_anew else config.run_dir)
    check_consensus(config.consensus)
    chosen = choose_encoder(config, datamodule)
    check_fine_tune(config, chosen)
    check_cold_start(config.cold_start)
    # A budget that cannot be built fails here, too.
    budget_config: Any = OmegaConf.to_container(config.budget, resolve=True)
    budget = make_budget(budget_config)
    check_coverage(config, budget)
    fill_in(config, datamodule, width=chosen.encoder.width if chosen else None)
    arrivals = make_arrivals(
        config,
        datamodule,
        encoder=chosen and chosen.encoder,
        after=partial(_embed_all, config, chosen, datamodule, run_path),
    )
    make_model = partial(_make_model, config, datamodule)
    make_round_trainer = partial(_make_trainer, config)
    # A model or trainer that cannot be built fails here, before the configuration is stored.
    _, trainer = make_model(), make_round_trainer(0, Path(config.run_dir))
    if trainer.world_size > 1 and arrivals.can_arrive:
        raise LabelError(
            f"data.watch=true: expected one process, got a trainer of {trainer.world_size}; "
            "leave it out, and samples that arrive join when the run is started again"
        )
    workers = _start_workers(trainer)
    if not workers.is_first:
        return _train_along(config, datamodule, make_model, make_round_trainer, workers)
    labelers = instantiate(config.labelers)(datamodule, run_path)
    identity = _identify(config, datamodule, labelers)
    with advice_of(given), RunDirectory(config.run_dir) as run_directory:
        if is_anew:
            run_directory.start_over()
            remember(run_directory, given)
        if not config.accept_loss:
            check_store_exists(run_directory)
        with LabelStore(run_directory.labels_path) as store:
            if config.accept_loss:
                set_aside_unknown(run_directory, store)
            begun = run_directory.metrics_path(0).exists() or bool(store.answers())
            kept, keys = identity
            accept = bool(config.accept_changes) or not begun
            keys = change_at_start(kept, keys, run_directory, store, accept=accept)
            run_directory.ensure_identity(kept, keys, begun=begun, upgrade=upgraded)
            budget = make_budget(budget_in_force(store.changes, kept["budget"]))
            with store.leases.transaction():
                commit_prices(store, budget, kept)
            store.set_consensus(config.consensus)
            _embed_all(config, chosen, datamodule, run_directory.path)
            metric = ActiveLearningLoop(
                make_model,
                make_round_trainer,
                datamodule,
                budget,
                labelers,
                store,
                run_directory,
                workers=workers,
                make_budget=make_budget,
                priorities=resolved(kept["priorities"]),
                arrivals=arrivals,
                **{key: config[key] for key in LOOP_KEYS},
            ).run()
            forget_if_ended(run_directory, store)
            workers.end()
            if config.fine_tune and chosen is not None:
                now = with_samples_of(chosen, datamodule)
                fine_tune_if_ended(config, datamodule, now, run_directory)
    is_wanted = isinstance(datamodule, FolderDataModule) if config.export is None else config.export
    if is_wanted and (exported := export_if_ended(run_directory.path)):
        print(f"labels, model, predictions and report: {exported.path}", file=sys.stderr)
    return metric


def _embed_all(
    config: DictConfig,
    chosen: Chosen | None,
    datamodule: ActiveLearningDataModule,
    run_path: Path,
) -> None:
    """Embeds the samples that have no features yet, if the run has an encoder."""
    if chosen is not None:
        now = with_samples_of(chosen, datamodule)
        embed_data(now, datamodule, run_path, progress=config.progress)


def _start_workers(trainer: Trainer) -> Workers:
    if trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise LabelError(
            f"trainer: {trainer.world_size} processes need one run, got several (-m); start one "
            "at a time"
        )
    return start_workers(trainer, sys.argv[1:])


def _train_along(
    config: DictConfig,
    datamodule: ActiveLearningDataModule,
    make_model: Callable[[], LightningModule],
    make_trainer: Callable[[int, Path], Trainer],
    workers: Workers,
) -> float:
    """Trains with rank zero, which owns label store, labelers and run directory."""
    end_at_once_by_signals()
    run_directory = RunDirectory(config.run_dir)
    are_read = False

    def train(round: int) -> None:
        nonlocal are_read
        if not are_read:  # rank zero has embedded the samples by now
            read_features(config, datamodule, run_directory.path)
            are_read = True
        train_round(
            round,
            make_model=make_model,
            make_trainer=make_trainer,
            datamodule=datamodule,
            directory=run_directory.round_path(round),
            checkpoint=run_directory.checkpoint_path(round),
            seed=config.seed,
            metric=config.metric,
            progress=False,
        )

    workers.train_along(datamodule, train)
    return math.nan


def _check_page(config: DictConfig) -> None:
    """Checks the keys of a run with a page, and leaves the page a core if both were started."""
    if config.labelers.get("_target_") == PAGE and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise LabelError("labelers=page: expected one run, got several (-m); start one at a time")
    threads = config.labelers.get("threads")
    if threads is not None and (isinstance(threads, bool) or threads < 1):
        raise LabelError(f"labelers.threads: expected 1 or more, or null, got {threads!r}")
    if is_supervised():
        torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))


def _identify(
    config: DictConfig, datamodule: ActiveLearningDataModule, labelers: Labelers
) -> tuple[Any, list[str]]:
    """Returns the configuration to store, and its keys that define the run."""
    kept = unresolved(config)
    del kept["fresh"], kept["round"], kept["accept_loss"]
    # What simulated labelers know is part of the data; of other data the source is known.
    known = labelers.labels if isinstance(labelers, DatasetLabelers) else None
    kept["data_fingerprint"] = datamodule.source if known is None else _fingerprint(known)
    return kept, [*identity_keys(kept), "data_fingerprint"]


def _fingerprint(labels: Mapping[SampleId, Label]) -> str:
    """Returns a digest of sample ids with their labels."""
    return fingerprint(as_sample_ids(f"{key!r}: {label!r}" for key, label in labels.items()))


def _make_model(config: DictConfig, datamodule: ActiveLearningDataModule) -> LightningModule:
    """Builds the model of a round; answers may have added classes since the last one."""
    config.classes = datamodule.class_names and len(datamodule.class_names)
    model: LightningModule = instantiate(config.model)
    return model


def _make_trainer(config: DictConfig, round: int, directory: Path) -> Trainer:
    """Builds the Trainer of a round, with its callbacks and its logger."""
    seed = round_seed(config.seed, round)
    config.round = {"number": round, "seed": seed, "directory": str(directory)}
    callbacks = list(instantiate(config.callbacks).values())
    logger = instantiate(config.logger) or False
    trainer: Trainer = instantiate(config.trainer, callbacks=callbacks, logger=logger)
    return trainer


def config_keys() -> list[str]:
    """Returns the keys of the default configuration, dotted, and its groups."""
    with hydra.initialize_config_module("lightning_badge.configs", version_base="1.3"):
        config = hydra.compose("al_loop")
    return list(_dotted(OmegaConf.to_container(config, resolve=False)))


def _dotted(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")

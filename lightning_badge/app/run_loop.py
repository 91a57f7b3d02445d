"""Runs the active learning loop that ``configs/al_loop.yaml`` and the command line describe."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from lightning_badge.app.data_facts import fill_in
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.train_round import round_seed
from lightning_badge.sample_ids import as_sample_ids, fingerprint
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

CONFIGS = "pkg://lightning_badge.configs"
IDENTITY = ("seed", "initial_labels", "model", "strategy", "budget", "oracle")
# Where the data lie and how they are read is not what they are: their fingerprint tells that.
NOT_IDENTITY = {"path", "num_workers"}
LOOP_KEYS = ("seed", "metric", "max_rounds", "total_labels", "target_metric", "progress")


def run_loop(arguments: Sequence[str] | None = None, *, program: str | None = None) -> None:
    """Runs the loop, or what Hydra's options ask for instead.

    Args:
        arguments: Overrides such as ``budget=variable``; those of this process where None.
        program: Name of the command, for completions.
    """
    run(_main, arguments, program=program, keys=_config_keys)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="al_loop")
@one_line_errors()
def _main(config: DictConfig) -> float:
    """Runs the loop and returns the metric of its last round."""
    datamodule = instantiate(config.data)
    labels = datamodule.held_back_labels()
    fill_in(config, datamodule)
    identity = _identify(config, labels)
    budget, oracle = instantiate(config.budget), instantiate(config.oracle)(labels)
    make_model = partial(instantiate, config.model)
    make_round_trainer = partial(_make_trainer, config)
    # What cannot be built fails here, before its configuration claims a run directory.
    _ = make_model(), make_round_trainer(0, Path(config.run_dir))
    with RunDirectory(config.run_dir) as run_directory:
        if config.fresh:
            run_directory.start_over()
        with LabelStore(run_directory.labels_path) as store:
            begun = run_directory.metrics_path(0).exists() or bool(store.answers())
            run_directory.ensure_identity(*identity, begun=begun)
            return ActiveLearningLoop(
                make_model,
                make_round_trainer,
                datamodule,
                budget,
                oracle,
                store,
                run_directory,
                **{key: config[key] for key in LOOP_KEYS},
            ).run()


def _identify(config: DictConfig, labels: dict[Any, Any]) -> tuple[Any, list[str]]:
    """Returns the configuration to keep, and the keys of it that make it the same run."""
    kept: Any = OmegaConf.to_container(config, resolve=True)
    del kept["fresh"], kept["round"]
    data = [f"data.{key}" for key in kept["data"] if key not in NOT_IDENTITY]
    known = as_sample_ids(f"{sample_id!r}: {label!r}" for sample_id, label in labels.items())
    kept["data_fingerprint"] = fingerprint(known)
    return kept, [*IDENTITY, *data, "data_fingerprint"]


def _make_trainer(config: DictConfig, round: int, directory: Path) -> Trainer:
    """Builds the Trainer of a round, with its callbacks and its logger."""
    seed = round_seed(config.seed, round)
    config.round = {"number": round, "seed": seed, "directory": str(directory)}
    callbacks = list(instantiate(config.callbacks).values())
    logger = instantiate(config.logger) or False
    trainer: Trainer = instantiate(config.trainer, callbacks=callbacks, logger=logger)
    return trainer


def _config_keys() -> list[str]:
    """Returns the keys of the default configuration, dotted, and its groups."""
    with hydra.initialize_config_module("lightning_badge.configs", version_base="1.3"):
        config = hydra.compose("al_loop")
    return list(_dotted(OmegaConf.to_container(config, resolve=False)))


def _dotted(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")

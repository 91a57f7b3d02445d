"""Runs the active learning loop configured by ``configs/al_loop.yaml`` and the command line.

``python scripts/al_loop.py budget=variable`` labels scikit-learn's digits. If it is interrupted,
the same command continues the run.
"""

from functools import partial
from pathlib import Path
from typing import Any

from shared.command_line import one_line_errors, run
from shared.data_facts import fill_in

import hydra
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from lightning_badge import ActiveLearningLoop, LabelStore, RunDirectory
from lightning_badge.loop.train_round import round_seed
from lightning_badge.sample_ids import as_sample_ids, fingerprint

IDENTITY = ("seed", "initial_labels", "model", "strategy", "budget", "oracle")
# The location of the data and the way to load them may change; a fingerprint identifies the data.
NOT_IDENTITY = {"path", "num_workers"}
LOOP_KEYS = ("seed", "metric", "max_rounds", "total_labels", "target_metric")


@hydra.main(version_base="1.3", config_path="../configs", config_name="al_loop")
@one_line_errors()
def main(config: DictConfig) -> float:
    """Runs the loop and returns the metric of its last round."""
    datamodule = instantiate(config.data)
    labels = datamodule.held_back_labels()
    fill_in(config, datamodule)
    identity = identify(config, labels)
    budget, oracle = instantiate(config.budget), instantiate(config.oracle)(labels)
    make_model = partial(instantiate, config.model)
    make_round_trainer = partial(make_trainer, config)
    # A model or trainer that cannot be built fails here, before the configuration is stored.
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


def identify(config: DictConfig, labels: dict[Any, Any]) -> tuple[Any, list[str]]:
    """Returns the configuration to store, and its keys that define the run."""
    kept: Any = OmegaConf.to_container(config, resolve=True)
    del kept["fresh"], kept["round"]
    data = [f"data.{key}" for key in kept["data"] if key not in NOT_IDENTITY]
    known = as_sample_ids(f"{sample_id!r}: {label!r}" for sample_id, label in labels.items())
    kept["data_fingerprint"] = fingerprint(known)
    return kept, [*IDENTITY, *data, "data_fingerprint"]


def make_trainer(config: DictConfig, round: int, directory: Path) -> Trainer:
    """Builds the Trainer of a round, with its callbacks and its logger."""
    seed = round_seed(config.seed, round)
    config.round = {"number": round, "seed": seed, "directory": str(directory)}
    callbacks = list(instantiate(config.callbacks).values())
    logger = instantiate(config.logger) or False
    trainer: Trainer = instantiate(config.trainer, callbacks=callbacks, logger=logger)
    return trainer


if __name__ == "__main__":
    run(main)

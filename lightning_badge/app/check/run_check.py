"""Checks a run with the arguments of the loop, and writes nothing."""

import logging
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
from hydra.utils import instantiate
from lightning.pytorch import Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from lightning_badge.app.check.facts import check_facts
from lightning_badge.app.check.show import show
from lightning_badge.app.coverage_check import check_coverage
from lightning_badge.app.data_facts import fill_in
from lightning_badge.app.fine_tune import check_fine_tune
from lightning_badge.app.frozen_encoder import choose_encoder, sketch_features
from lightning_badge.app.processes import ALONE
from lightning_badge.app.run_loop import CONFIGS, config_keys
from lightning_badge.loop.cold_start import check_cold_start
from lightning_badge.loop.train_round import round_seed
from lightning_badge.store.consensus import check_consensus

_SAID_HERE = (".*left out .* samples that cannot be read", ".*`limit_.*_batches=0`")


def run_check(arguments: Sequence[str] | None = None, *, program: str | None = None) -> None:
    """Checks, or does what Hydra's options ask for instead; exits with 1 if there is a problem.

    Args:
        arguments: Overrides such as ``data=folder``; those of this process where None.
        program: Name of the command, for completions.
    """
    run(_main, arguments, program=program, keys=config_keys)


@hydra.main(version_base="1.3", config_path=CONFIGS, config_name="al_loop")
@one_line_errors()
def _main(config: DictConfig) -> None:
    for message in _SAID_HERE:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    datamodule = instantiate(config.data)
    check_consensus(config.consensus)
    chosen = choose_encoder(config, datamodule)
    check_fine_tune(config, chosen)
    check_cold_start(config.cold_start)
    fill_in(config, datamodule, width=chosen.encoder.width if chosen else None)
    if chosen is not None:
        sketch_features(chosen, datamodule)
    check_coverage(config, instantiate(config.budget))
    seed = round_seed(config.seed, 0)
    seed_everything(seed, workers=True, verbose=False)
    model = instantiate(config.model)

    def make_trainer(**changes: Any) -> Trainer:
        trainer: Trainer = instantiate(
            config.trainer, **{"callbacks": [], "logger": False, **ALONE, **changes}
        )
        return trainer

    config.round = {"number": 0, "seed": seed, "directory": config.run_dir}
    plain: Any = OmegaConf.to_container(config, resolve=True)
    run_path = Path(config.run_dir).expanduser().resolve()
    make_labelers = partial(instantiate(config.labelers), datamodule, run_path)
    facts = check_facts(plain, datamodule, model, make_trainer, make_labelers)
    show(facts, Console())
    if facts.problems:
        sys.exit(1)

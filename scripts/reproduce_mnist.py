"""Reproduces the figures and the claims of the post that this project began with, on MNIST.

``python scripts/reproduce_mnist.py data.path=DIR run_dir=DIR`` leaves ``report.md`` in ``run_dir``.
``--multirun seed=0,1,2,3,4`` trains five times; ``reproduce/summarise_claims.py`` joins what they
found.
"""

import json
from typing import Any

from lightning_badge.app.command_line import one_line_errors, run

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from reproduce.claims import measure, order_by_all, seconds_of_full_ordering
from reproduce.figures import animate, draw_all, save
from reproduce.pool import Pool, train_and_order
from reproduce.report import Facts, as_facts, write_report

from lightning_badge import RunDirectory
from lightning_badge.research.viz.embedding_map import map_embedding

NOT_IDENTITY = {"run_dir", "paths", "fresh", "classes", "data"}


@hydra.main(version_base="1.3", config_path="../configs", config_name="reproduce_mnist")
@one_line_errors()
def main(config: DictConfig) -> None:
    """Trains, orders, measures, draws and reports."""
    with RunDirectory(config.run_dir) as run_directory:
        if config.fresh:
            run_directory.start_over()
        report = run_directory.path / "report.md"
        kept: Any = OmegaConf.to_container(config, resolve=True)
        identity = [str(key) for key in config if key not in NOT_IDENTITY]
        run_directory.ensure_identity(kept, identity, begun=report.exists())
        pool, ordering = train_and_order(config, run_directory.path)
        compared = order_by_all(pool, config.ordering_seeds)
        places = map_embedding(pool.embedding, landmarks=config.landmarks)
        measurements = measure(pool, compared)
        facts = gather_facts(config, pool, places.shown)
        save(draw_all(pool, ordering, compared, places), run_directory.path)
        animate(pool, ordering, places, config.animated, run_directory.path)
        claims = json.dumps(as_facts(facts, measurements), indent=2) + "\n"
        run_directory.write_text(run_directory.path / "claims.json", claims)
        run_directory.write_text(report, write_report(pool, ordering, facts, measurements))
        print(report)


def gather_facts(config: DictConfig, pool: Pool, shown: float) -> Facts:
    """Returns what the report tells beside the claims."""
    right = (pool.hallucinated == pool.labels)[~pool.is_unseen]
    return Facts(
        seed=config.seed,
        n_labeled=pool.n_labeled,
        n_pool=len(pool.labels),
        accuracy=float(right.mean()),
        seconds=seconds_of_full_ordering(pool),
        threads=torch.get_num_threads(),
        shown=shown,
        ordering_seeds=config.ordering_seeds,
    )


if __name__ == "__main__":
    run(main)

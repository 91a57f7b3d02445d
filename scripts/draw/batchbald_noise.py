"""Shows where BatchBALD's marginal gains drown in the noise of their estimates.

``python scripts/draw/batchbald_noise.py`` trains on 50 of scikit-learn's digits and draws.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the folder to import from is scripts/
    sys.path[0] = str(Path(__file__).parents[1])

from lightning_badge.app.command_line import one_line_errors

import numpy as np
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor

from lightning_badge.capture.posterior import capture_posterior
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.examples.digits import digits
from lightning_badge.examples.models import MLP
from lightning_badge.ordering import order
from lightning_badge.research.batchbald_gains import gains_before_each_pick
from lightning_badge.research.viz.gain_noise import draw_gain_noise, gain_and_noise


def main() -> None:
    """Reads the command line, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20, help="of the posterior")
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--ranks", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=20, help="estimates of each gain")
    parser.add_argument("--out", type=Path, default=Path("batchbald_noise.png"))
    arguments = parser.parse_args()
    with one_line_errors():
        posterior = posterior_of_digits(arguments.samples)
        pool = GradientEmbedding.from_dense(posterior[:, 0])
        settings = {"configurations": arguments.configurations}
        ranks = arguments.ranks
        ordering = order(pool, "batchbald", k=ranks, posterior=posterior, depth=ranks, **settings)
        rows = [int(row) for row in ordering]
        candidates = np.unique([*rows, *order(pool, "bald", k=200, posterior=posterior)])
        positions = [int(np.searchsorted(candidates, row)) for row in rows]
        gains = np.array(
            [
                gains_before_each_pick(posterior[candidates], positions, seed=seed, **settings)
                for seed in range(arguments.seeds)
            ]
        )
        picked = gains.mean(axis=0)[np.arange(ranks), positions]
        print_table(gains, picked, arguments.samples)
        title = f"digits, 50 labels, {arguments.samples} posterior samples"
        draw_gain_noise(gains, title=title).savefig(arguments.out)
    print(arguments.out)


def posterior_of_digits(samples: int) -> Tensor:
    """Trains on 50 labels and returns the pool's class probabilities, ``[n, samples, 10]``."""
    seed_everything(0, verbose=False)
    datamodule, model = digits(initial_labeled=50), MLP(num_classes=10, in_features=64)
    trainer = Trainer(
        max_epochs=60,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=datamodule)
    pool = datamodule.pool_dataloader()
    return capture_posterior(trainer, model, pool, samples=samples, seed=0, head="head")


def print_table(gains: np.ndarray, picked: np.ndarray, samples: int) -> None:
    """Prints the figures behind the picture, and how often the lead is lost in noise."""
    print("      gain of the   lead over     noise   lead over     noise")
    print("rank         best  the second            the tenth")
    (best, *second), (_, *tenth) = (gain_and_noise(gains, runner_up) for runner_up in (2, 10))
    for rank, values in enumerate(zip(best, *second, *tenth, strict=True), start=1):
        print(f"{rank:4} {values[0]:12.4f}" + "".join(f"{value:11.4f}" for value in values[1:]))
    for name, (lead, noise) in {"second": second, "tenth": tenth}.items():
        print(
            f"lead over the {name} below its noise at {(lead < noise).sum()} of {len(best)} ranks"
        )
    print(f"gains of the picks {picked.sum():.3f}, of the best at each rank {best.sum():.3f},")
    print(f"and no picks can have more than log({samples}) = {np.log(samples):.3f}")


if __name__ == "__main__":
    main()

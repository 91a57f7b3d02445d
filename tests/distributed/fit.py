"""A training on one process or several, for tests that start it as Lightning does: as a script.

Each process writes what it saw to ``<out>/<rank>.pt``.
"""

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.utils.data import DataLoader, Subset, TensorDataset

from lightning_badge import BadgeCallback


class Network(pl.LightningModule):
    """An MLP; with ``integers``, one whose activations and logits are small integers."""

    def __init__(self, integers: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(16, 5)
        self.learning_rate = 0.05
        if integers:
            self.learning_rate = 0.0
            generator = torch.Generator().manual_seed(1)
            for parameter in self.parameters():
                values = torch.randint(-2, 3, parameter.shape, generator=generator)
                parameter.data = values.float()

    def configure_model(self) -> None:
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            mesh = self.device_mesh["data_parallel"]
            for part in (self.body, self.head, self):
                fully_shard(part, mesh=mesh)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", functional.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class Data(pl.LightningDataModule):
    def __init__(self, n: int, batch_size: int, workers: int, integers: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(n + 80, 12, generator=generator)
        x = x.mul(2).round() if integers else x
        y = torch.randint(5, (n + 80,), generator=generator)
        self.data, self.n = TensorDataset(x, y), n
        self.batch_size, self.workers = batch_size, workers

    def _loader(self, rows: range, batch_size: int, **more: Any) -> DataLoader[Any]:
        return DataLoader(Subset(self.data, rows), batch_size=batch_size, **more)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader(range(self.n, self.n + 48), 8, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(range(self.n + 48, self.n + 80), 8)

    def labeled_dataloader(self) -> DataLoader[Any]:
        return self._loader(range(self.n, self.n + 48), 8)

    def pool_dataloader(self) -> DataLoader[Any]:
        return self._loader(range(self.n), self.batch_size, num_workers=self.workers)


class Failing(BadgeCallback):
    """Fails, or kills its process, on one rank at one moment."""

    def __init__(self, fail: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.kind, moment, rank = fail.split(":")
        self.moment, self.failing_rank = moment, int(rank)

    def strike(self, moment: str, rank: int) -> None:
        if moment == self.moment and rank == self.failing_rank:
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError(f"struck in {moment}")


def failing(fail: str, arguments: dict[str, Any]) -> BadgeCallback:
    """Returns a callback that is struck in ``capture``, ``ordering`` or ``writing``."""
    from lightning_badge.callback import badge as badge_module
    from lightning_badge.callback import pool_ordering
    from lightning_badge.capture import pool as capture_module

    callback = Failing(fail, **arguments)
    places = {
        "capture": (capture_module, "_run_over_pool"),
        "ordering": (pool_ordering, "_order"),
        "writing": (badge_module, "_write"),
    }
    module, name = places[callback.moment]
    original = getattr(module, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        trainer = callback.trainer  # type: ignore[attr-defined]
        if not trainer.sanity_checking and trainer.global_step > 0:
            callback.strike(callback.moment, trainer.global_rank)
        return original(*args, **kwargs)

    setattr(module, name, struck)
    return callback


class KnowsTrainer(pl.Callback):
    def __init__(self, badge: BadgeCallback) -> None:
        self.badge = badge

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.badge.trainer = trainer  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--strategies", nargs="*", default=["badge"])
    parser.add_argument("--n", type=int, default=1003)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--integers", action="store_true")
    parser.add_argument("--without", action="store_true")
    parser.add_argument("--only-validate", action="store_true")
    parser.add_argument("--review", type=int, default=0)
    parser.add_argument("--fail", default="")
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--tensor-parallel", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pl.seed_everything(7, verbose=False)
    network = Network(options.integers)
    common = {"dirpath": options.out, "seed": 3, "posterior_samples": 2}
    badges = [
        BadgeCallback(
            strategy, filename=f"{strategy}.parquet", nearest_labeled=options.review, **common
        )
        for strategy in options.strategies
    ]
    if options.fail:
        badges = [failing(options.fail, {**common, "strategy": "badge"})]
    callbacks = [] if options.without else [*map(KnowsTrainer, badges), *badges]
    strategy: Any = "ddp" if options.devices > 1 else "auto"
    if options.fsdp or options.tensor_parallel:
        sizes = (options.devices, 1) if options.fsdp else (1, options.devices)
        strategy = ModelParallelStrategy(*sizes)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=options.devices,
        strategy=strategy,
        max_epochs=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=True,
        default_root_dir=options.out,
    )
    data = Data(options.n, options.batch_size, options.workers, options.integers)
    if options.only_validate:
        trainer.validate(network, data, verbose=False)
    else:
        trainer.fit(network, data)
    saved = {
        "weights": {} if options.fsdp else network.state_dict(),
        "metrics": dict(trainer.callback_metrics),
        "random": torch.get_rng_state(),
        "ids": {badge.strategy: badge.ordering.sample_ids.tolist() for badge in badges
                if badge.ordering is not None},
        "gains": {badge.strategy: badge.ordering.gains for badge in badges
                  if badge.ordering is not None},
    }  # fmt: skip
    torch.save(saved, options.out / f"{trainer.global_rank}.pt")


if __name__ == "__main__":
    main()

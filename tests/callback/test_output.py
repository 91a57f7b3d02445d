from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from old_lightning import WEIGHTS_ONLY
from tiny import (
    HIDDEN,
    LIGHTNING_WARNINGS,
    Classifier,
    fit,
    loader,
    make_trainer,
    mlp,
    validate,
)
from torch import nn

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import order
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS


class Recorder(Logger):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "recorder"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append((step, metrics))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class TestTheOrdering:
    def test_is_that_of_the_gradients_of_the_head(self, tmp_path: Path) -> None:
        model, pool = Classifier(), loader(20)
        callback = BadgeCallback(pool=pool, seed=3, loss="cross_entropy")
        validate(tmp_path, callback, model)
        x = pool.dataset.tensors[0]
        head = model.network[-1]
        model.eval()
        logits = model(x)
        penultimate = model.network[:-1](x)
        embedding = GradientEmbedding.from_logits(penultimate, logits)
        for row in range(20):
            loss = nn.functional.cross_entropy(logits[row], logits[row].argmax())
            (gradient,) = torch.autograd.grad(loss, head.weight, retain_graph=True)
            torch.testing.assert_close(embedding.dense()[row], gradient.flatten())
        assert list(callback.ordering) == list(order(embedding, seed=3))

    def test_is_the_file_and_says_where_it_comes_from(self, tmp_path: Path) -> None:
        callback = BadgeCallback(pool=loader(20), k=7, seed=5, bias=True, round=2)
        fit(tmp_path, callback, max_epochs=2)
        assert callback.last_ordering_path == tmp_path / "badge" / "ordering.parquet"
        read = read_ordering(callback.last_ordering_path)
        assert list(read) == list(callback.ordering)
        expected = {
            "strategy": "badge",
            "strategy_args": {},
            "seed": 5,
            "round": 2,
            "n_pool": 20,
            "n_ordered": 7,
            "width": HIDDEN + 1,
            "bias": True,
            "checkpoint": None,
            "global_step": 8,
            "epoch": 1,
            "head": "network.3",
        }
        assert {key: read.metadata[key] for key in expected} == expected

    def test_names_the_checkpoint_and_its_step_when_validated(self, tmp_path: Path) -> None:
        checkpoints = ModelCheckpoint(tmp_path / "ckpt", monitor="epoch", save_top_k=-1)
        callback = BadgeCallback(pool=loader(20), when="never")
        model = Classifier()
        trainer = make_trainer(
            tmp_path, callbacks=[callback, checkpoints], max_epochs=2, enable_checkpointing=True
        )
        trainer.fit(model, loader(64), loader(16))
        first = str(tmp_path / "ckpt" / "epoch=0-step=4.ckpt")
        trainer.validate(model, loader(16), ckpt_path=first, verbose=False, **WEIGHTS_ONLY)
        metadata = callback.ordering.metadata
        assert (metadata["checkpoint"], metadata["global_step"], metadata["epoch"]) == (first, 4, 0)
        trainer.validate(model, loader(16), verbose=False)
        assert callback.ordering.metadata["checkpoint"] is None
        assert callback.ordering.metadata["global_step"] == 8

    def test_goes_beside_the_logs_or_where_it_is_told(self, tmp_path: Path) -> None:
        logged, told = BadgeCallback(pool=loader(4)), BadgeCallback(pool=loader(4))
        told.dirpath, told.filename = str(tmp_path / "there"), "a.parquet"
        validate(tmp_path, logged, logger=CSVLogger(tmp_path, name="run"))
        validate(tmp_path, told)
        assert logged.last_ordering_path == tmp_path / "run/version_0/badge/ordering.parquet"
        assert told.last_ordering_path == tmp_path / "there/a.parquet"
        assert all(len(read_ordering(c.last_ordering_path)) == 4 for c in (logged, told))

    def test_has_the_ids_of_the_datamodules_pool(self, tmp_path: Path) -> None:
        data = loader(30).dataset
        datamodule = ActiveLearningDataModule(
            data, data, initial_labeled=[f"s{i}" for i in range(10)],
            sample_ids=[f"s{i}" for i in range(30)],
        )  # fmt: skip
        callback = BadgeCallback()
        trainer = make_trainer(tmp_path, callbacks=[callback])
        trainer.fit(Classifier(), datamodule=datamodule)
        assert sorted(callback.ordering) == sorted(datamodule.pool_ids.tolist())
        datamodule.label(callback.ordering.sample_ids[:5])
        assert len(datamodule.labeled_ids) == 15

    @pytest.mark.parametrize("strategy", ["badge", "entropy", "random"])
    def test_is_that_of_any_strategy(self, tmp_path: Path, strategy: str) -> None:
        callback = BadgeCallback(strategy, pool=loader(20))
        validate(tmp_path, callback)
        assert sorted(callback.ordering) == list(range(20))
        assert callback.ordering.metadata["strategy"] == strategy

    @pytest.mark.parametrize(
        ("outputs", "loss", "embedded"),
        [
            (1, "auto", "binary_cross_entropy"),
            (3, "auto", "cross_entropy"),
            (3, "binary_cross_entropy", "binary_cross_entropy"),
        ],
    )
    def test_embeds_the_loss_that_fits_the_head_or_the_one_asked_for(
        self, tmp_path: Path, outputs: int, loss: str, embedded: str
    ) -> None:
        class Outputs(Classifier):
            def validation_step(self, batch: Any, batch_idx: int) -> None:
                self(batch[0])

        callback = BadgeCallback(loss=loss, pool=loader(20))
        validate(tmp_path, callback, Outputs(mlp(outputs)))
        assert callback.ordering.metadata["loss"] == embedded

    def test_leaves_ordinary_tensors_behind_in_validate(self, tmp_path: Path) -> None:
        callback = BadgeCallback(pool=loader(8), keep_embedding=True)
        validate(tmp_path, callback)
        kept = callback.embedding
        tensors = [kept.penultimate, kept.logit_grad, kept.sq_norm, kept.confidence]
        assert not any(tensor.is_inference() or tensor.requires_grad for tensor in tensors)


class TestWhatLoggersAreTold:
    def test_the_pool_the_times_and_the_gains_that_there_are(self, tmp_path: Path) -> None:
        recorders = [Recorder(), Recorder()]
        callback = BadgeCallback(pool=loader(20))
        fit(tmp_path, callback, logger=recorders)
        for recorder in recorders:
            ((step, told),) = [
                (step, told) for step, told in recorder.told if "badge/pool_size" in told
            ]
            assert step == 4
            assert set(told) == {
                "badge/pool_size",
                "badge/mean_confidence",
                "badge/gain_10th",  # the first is drawn uniformly, and there is no 100th
                "badge/capture_seconds",
                "badge/ordering_seconds",
            }
            assert told["badge/pool_size"] == 20
            assert told["badge/gain_10th"] == callback.ordering.gains[9]
            assert told["badge/mean_confidence"] == pytest.approx(
                callback.ordering.confidence.mean(), rel=1e-5
            )

    def test_the_first_and_the_hundredth_gain(self, tmp_path: Path) -> None:
        recorder = Recorder()
        callback = BadgeCallback("entropy", pool=loader(120))
        validate(tmp_path, callback, logger=recorder)
        gains = callback.ordering.gains
        told = recorder.told[-1][1]
        assert told["badge/gain_1st"] == gains[0]
        assert told["badge/gain_100th"] == gains[99]


def test_the_gains_are_those_of_the_file(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(20))
    validate(tmp_path, callback)
    read = read_ordering(callback.last_ordering_path)
    np.testing.assert_array_equal(read.gains, callback.ordering.gains)

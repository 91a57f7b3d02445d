"""The embedding of the last ordering stays where it is asked for, and nowhere else."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LIGHTNING_WARNINGS, Classifier, fit, loader, make_trainer, validate
from torch.utils.data import DataLoader

from lightning_badge.callback import pool_ordering
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture import capture
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import order

pytestmark = LIGHTNING_WARNINGS


def test_it_is_that_of_the_last_ordering(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(20), seed=3, bias=True, keep_embedding=True)
    assert callback.embedding is None
    model = Classifier()
    fit(tmp_path, callback, model=model, max_epochs=2)
    embedding = callback.embedding
    assert embedding is not None
    assert torch.equal(embedding.penultimate, capture(model, loader(20), bias=True).penultimate)
    assert list(order(embedding, seed=3)) == list(callback.ordering)


def test_it_is_made_of_ordinary_tensors(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(20), keep_embedding=True)
    validate(tmp_path, callback)
    assert callback.embedding is not None
    (2 * callback.embedding.penultimate.requires_grad_()).sum().backward()


def test_without_being_asked_to_it_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[weakref.ref[Any]] = []

    def watched(embedding: GradientEmbedding, *others: Any, **arguments: Any) -> Any:
        seen.append(weakref.ref(embedding.penultimate))
        return order(embedding, *others, **arguments)

    monkeypatch.setattr(pool_ordering, "order", watched)
    callback = BadgeCallback(pool=loader(20))
    validate(tmp_path, callback)
    gc.collect()
    assert callback.embedding is None
    assert [reference() for reference in seen] == [None]


def test_the_last_one_is_let_go_before_the_next_is_captured(tmp_path: Path) -> None:
    class Watched(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            kept.append(callback.embedding)
            return self(batch[0])

    kept: list[Any] = []
    callback = BadgeCallback(pool=loader(20), keep_embedding=True, when="every_validation")
    fit(tmp_path, callback, model=Watched(), max_epochs=2)
    assert kept == [None] * 5  # a batch that is tried, and two of each epoch


def test_an_empty_pool_has_none(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(20), keep_embedding=True)
    validate(tmp_path, callback)
    callback.pool = DataLoader([])
    with pytest.warns(UserWarning, match="pool is empty"):
        validate(tmp_path, callback)
    assert callback.embedding is None


def test_checkpoints_are_as_without(tmp_path: Path) -> None:
    def checkpoint(keep: bool) -> tuple[str, dict[str, Any]]:
        callback = BadgeCallback(pool=loader(20), keep_embedding=keep)
        trainer = make_trainer(tmp_path, callbacks=[callback])
        trainer.fit(Classifier(), loader(64), loader(16))
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
        return callback.state_key, saved[callback.state_key]

    assert checkpoint(keep=True) == checkpoint(keep=False)

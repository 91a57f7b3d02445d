"""review.parquet: predictions and nearest labeled samples, through a real Trainer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from tiny import LIGHTNING_WARNINGS, QUIET, Classifier, blobs, loader, make_trainer

from lightning_badge.callback import review
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.callback.review import nearest_rows
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.review_file import Review, read_review

pytestmark = LIGHTNING_WARNINGS


def reviewed(
    path: Path, datamodule: Any, model: Classifier, **arguments: Any
) -> tuple[Review, BadgeCallback]:
    callback = BadgeCallback(dirpath=path, nearest_labeled=3, **arguments)
    trainer = Trainer(callbacks=[callback], default_root_dir=path, **QUIET)
    trainer.validate(model, datamodule=datamodule, verbose=False)
    return read_review(path / "review.parquet"), callback


def data(**arguments: Any) -> ActiveLearningDataModule:
    return ActiveLearningDataModule(blobs(60), blobs(12), **arguments)


def test_predictions_and_nearest_labeled_samples_are_those_of_the_model(tmp_path: Path) -> None:
    datamodule, model = data(initial_labeled=20), Classifier()
    found, callback = reviewed(tmp_path, datamodule, model)
    pool, labeled = datamodule.pool_ids.tolist(), datamodule.labeled_ids.tolist()
    assert found.sample_ids.tolist() == [*pool, *labeled]
    assert found.is_labeled.tolist() == [False] * len(pool) + [True] * len(labeled)
    with torch.no_grad():
        inputs = blobs(60).tensors[0][found.sample_ids]
        probability = model.eval()(inputs).softmax(1)
        hidden = model.network[:2](inputs).double()
    assert found.guess.tolist() == probability.argmax(1).tolist()
    np.testing.assert_allclose(found.confidence, probability.amax(1), rtol=1e-5)
    distance = torch.cdist(hidden[: len(pool)], hidden[len(pool) :])
    for row, (ids, expected) in enumerate(zip(found.nearest, distance.sort(1)[0], strict=False)):
        assert ids is not None
        assert len(set(ids)) == 3
        given = [float(distance[row, labeled.index(sample_id)]) for sample_id in ids]
        np.testing.assert_allclose(given, expected[:3], rtol=1e-3, atol=1e-3)
    assert found.nearest[len(pool) :] == [None] * len(labeled)
    ordering = callback.ordering
    guess = dict(zip(found.sample_ids.tolist(), found.guess.tolist(), strict=True))
    assert [guess[key] for key in ordering] == ordering.hallucinated_label.tolist()


def test_without_labels_there_are_predictions_only(tmp_path: Path) -> None:
    found, _ = reviewed(tmp_path, data(initial_labeled=[]), Classifier())
    assert not found.is_labeled.any()
    assert found.nearest == [[]] * 60


def test_a_correction_is_seen_in_the_next_file(tmp_path: Path) -> None:
    datamodule, model = data(initial_labeled=[3, 4, 5]), Classifier()
    reviewed(tmp_path, datamodule, model)
    datamodule.unlabel([3])
    datamodule.discard([3])
    datamodule.unlabel([4])
    datamodule.label([40])
    found, _ = reviewed(tmp_path, datamodule, model)
    state = dict(zip(found.sample_ids.tolist(), found.is_labeled.tolist(), strict=True))
    assert 3 not in state
    assert [key for key, is_labeled in state.items() if is_labeled] == [5, 40]
    assert not state[4]
    assert {key for ids in found.nearest for key in ids or ()} == {5, 40}


@pytest.mark.parametrize("classes", [1, 4])
def test_several_classes_a_sample_give_the_most_probable_one(tmp_path: Path, classes: int) -> None:
    model = Classifier(torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, classes)))
    inputs = blobs(30).tensors[0][:, :6]
    model.network[0] = torch.nn.Linear(inputs.shape[1], 5)
    targets = torch.rand(30, classes).round()
    datamodule = ActiveLearningDataModule(
        torch.utils.data.TensorDataset(inputs, targets), initial_labeled=[0, 1]
    )
    callback = BadgeCallback(dirpath=tmp_path, nearest_labeled=1, loss="binary_cross_entropy")
    trainer = Trainer(callbacks=[callback], default_root_dir=tmp_path, **QUIET)
    trainer.datamodule = datamodule
    callback.order_now(trainer, model)
    found = read_review(tmp_path / "review.parquet")
    with torch.no_grad():
        probability = model(inputs[found.sample_ids]).sigmoid()
    if classes == 1:
        probability = torch.cat([1 - probability, probability], 1)
    assert found.guess.tolist() == probability.argmax(1).tolist()
    np.testing.assert_allclose(found.confidence, probability.amax(1), rtol=1e-5)
    assert all(len(ids) == 1 for ids in found.nearest if ids is not None)


def test_it_is_not_written_unless_asked_for_nor_in_a_trial(tmp_path: Path) -> None:
    for name, arguments in (
        ("off", {}),
        ("trial", {"nearest_labeled": 3, "when": "last_validation"}),
    ):
        callback = BadgeCallback(dirpath=tmp_path / name, **arguments)
        more = {"fast_dev_run": True} if name == "trial" else {}
        trainer = Trainer(callbacks=[callback], default_root_dir=tmp_path, **{**QUIET, **more})
        trainer.validate(Classifier(), datamodule=data(initial_labeled=9), verbose=False)
        assert callback.ordering is not None
        assert not list(tmp_path.rglob("review.parquet"))


def test_without_a_labeled_set_it_is_an_error_before_training(tmp_path: Path) -> None:
    callback = BadgeCallback(dirpath=tmp_path, nearest_labeled=3, pool=loader(9))
    trainer = make_trainer(tmp_path, callbacks=[callback])
    with pytest.raises(MisconfigurationException, match="nearest_labeled=3.* needs the labeled"):
        trainer.fit(Classifier(), loader(16), loader(16))
    with pytest.raises(MisconfigurationException, match="nearest_labeled"):
        BadgeCallback(nearest_labeled=-1)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(0, 12),
    m=st.integers(1, 12),
    k=st.integers(1, 4),
    blocks=st.sampled_from([(1, 1), (3, 2), (100, 100)]),
    seed=st.integers(0, 9),
)
def test_blocks_find_the_same_as_all_pairs(
    n: int, m: int, k: int, blocks: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, others = (torch.randn(count, 3, generator=generator) + 100 for count in (n, m))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(review, "_ROWS", blocks[0])
        patch.setattr(review, "_LABELED", blocks[1])
        found = nearest_rows(rows, others, k)
    distance = torch.cdist(rows.double(), others.double())
    assert found.shape == (n, min(k, m))
    torch.testing.assert_close(
        distance.gather(1, found), distance.sort(1)[0][:, :k], rtol=1e-3, atol=1e-3
    )


def test_nothing_as_large_as_all_pairs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    real = torch.Tensor.topk

    def watched(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        nonlocal largest
        largest = max(largest, self.numel())
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "topk", watched)
    nearest_rows(torch.randn(5000, 2), torch.randn(20000, 2), 3)
    assert 0 < largest <= 1024 * (8192 + 3)

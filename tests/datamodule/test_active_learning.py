import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from old_lightning import WEIGHTS_ONLY
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler, TensorDataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.pool_batch import PoolBatch

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

N = 60
CLASSES = 3


def classification_data(n: int = N) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(n, 4, generator=generator), torch.arange(n) % CLASSES)


def make(n: int = N, **arguments: Any) -> ActiveLearningDataModule:
    return ActiveLearningDataModule(
        classification_data(n), **{"initial_labeled": 5, "batch_size": 8, **arguments}
    )


def targets_seen(datamodule: ActiveLearningDataModule) -> list[int]:
    return sorted(torch.cat([y for _, y in datamodule.train_dataloader()]).tolist())


class Classifier(LightningModule):
    """A user's module: it knows nothing of active learning."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, CLASSES)
        self.rows_in_epoch: list[int] = []

    def on_train_epoch_start(self) -> None:
        self.rows_in_epoch.append(0)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        self.rows_in_epoch[-1] += len(x)
        return nn.functional.cross_entropy(self.head(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class ValidatedClassifier(Classifier):
    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        self.log("val/loss", nn.functional.cross_entropy(self.head(x), y))


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    def make_one(**arguments: Any) -> Trainer:
        quiet = {
            "accelerator": "cpu",
            "default_root_dir": tmp_path,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "logger": False,
            "max_epochs": 1,
        }
        return Trainer(**{**quiet, **arguments})

    return make_one


class TestLabelsAndPool:
    @given(st.data())
    def test_every_id_is_labeled_discarded_or_in_the_pool(self, data: st.DataObject) -> None:
        ids = [f"s{row:02}" for row in range(20)]
        datamodule = make(20, initial_labeled=0, sample_ids=ids)
        for act in data.draw(st.lists(st.sampled_from(["label", "discard"]), max_size=6)):
            free = sorted(set(ids) - set(datamodule.labeled_ids.tolist()))
            chosen = data.draw(st.permutations(free))[: data.draw(st.integers(0, 5))]
            getattr(datamodule, act)(chosen)
            part = datamodule.labeled_ids if act == "label" else datamodule.discarded_ids
            assert set(chosen) <= set(part.tolist())
        parts = [datamodule.labeled_ids, datamodule.pool_ids, datamodule.discarded_ids]
        assert sorted(np.concatenate(parts).tolist()) == ids
        assert all(part.tolist() == sorted(part.tolist()) for part in parts)

    def test_any_number_of_labels_grows_the_set(self) -> None:
        datamodule = make(initial_labeled=[4])
        datamodule.label(np.array([50, 3]))
        datamodule.label(torch.tensor([11, 10, 9]))
        datamodule.label([])
        assert datamodule.labeled_ids.tolist() == [3, 4, 9, 10, 11, 50]
        assert datamodule.pool_ids.dtype == np.int64

    @pytest.mark.parametrize(
        ("ids", "labels", "message"),
        [
            ([7, 60, 61], None, r"ids of the training data, got 60, 61; there are 60 such"),
            (["7"], None, r"the training data, got '7'; .* such as 0, 1, 2"),
            ([7, 8, 7], None, r"7 came more than once"),
            ([7, 0, 1], None, r"sample ids 0, 1 are labeled already"),
            ([7, 8], [1], r"labels: expected one for each of 2 ids, got 1"),
            ([7, 8], [1, None], r"label: expected an int"),
            ([7, 8], [1, float("nan")], r"label: expected an int"),
            ([7, 8], [1, "two"], r"label 'two' \(str\) cannot take the place of a target"),
        ],
    )
    def test_an_error_names_the_culprits_and_changes_nothing(
        self, ids: list[Any], labels: list[Any] | None, message: str
    ) -> None:
        datamodule = make(initial_labeled={0: 2, 1: 0})
        datamodule.discard([7])
        before = pickle.dumps(vars(datamodule))
        with pytest.raises(LabelError, match=message):
            datamodule.label(ids, labels)
        assert pickle.dumps(vars(datamodule)) == before

    def test_ids_may_be_texts_of_any_length(self) -> None:
        ids = [f"s{row}" for row in range(59)] + ["long" * 1000]
        datamodule = make(sample_ids=ids, initial_labeled=["s1"])
        datamodule.label({ids[-1]: 2, "s0": 1})
        datamodule.discard(np.array(["s5"]))
        assert datamodule.labeled_ids.tolist() == ["s0", "s1", ids[-1]]
        assert list(datamodule.labels_dict()) == ["s0", "s1", ids[-1]]
        assert {type(sample_id) for sample_id in datamodule.labels_dict()} == {str}
        assert len(datamodule.pool_ids) == 56
        with pytest.raises(LabelError, match="got 's60', 's61'; there are 60 such as 's0'"):
            datamodule.label(["s2", "s60", "s61"])
        assert len(datamodule.labeled_ids) == 3

    def test_a_discarded_sample_leaves_the_pool_until_somebody_labels_it(self) -> None:
        datamodule = make(initial_labeled=[0])
        datamodule.discard([5, 6])
        assert not {5, 6} & set(datamodule.pool_ids.tolist())
        datamodule.label([6])
        assert datamodule.labeled_ids.tolist() == [0, 6]
        assert datamodule.discarded_ids.tolist() == [5]

    def test_a_labeled_sample_cannot_be_discarded(self) -> None:
        with pytest.raises(LabelError, match="3 are labeled already"):
            make(initial_labeled=[3]).discard([5, 3])

    def test_the_initial_count_is_stratified_where_the_targets_are_known(self) -> None:
        rare = [0] * 50 + [1] * 8 + [2] * 2
        datamodule = make(initial_labeled=6, labels=rare)
        labels = [rare[sample_id] for sample_id in datamodule.labeled_ids]
        assert sorted(labels) == [0, 0, 0, 0, 1, 2]

    def test_the_initial_draw_follows_the_seed(self) -> None:
        draws = [make(initial_labeled=9, seed=seed).labeled_ids.tolist() for seed in (3, 3, 4)]
        assert draws[0] == draws[1] != draws[2]

    def test_targets_of_the_data_set_itself_stratify_too(self) -> None:
        data = classification_data()
        data.targets = torch.tensor([0] * 55 + [1] * 5)
        datamodule = ActiveLearningDataModule(data, initial_labeled=2)
        assert sorted(data.targets[datamodule.labeled_ids].tolist()) == [0, 1]
        assert datamodule.held_back_labels()[59] == 1

    def test_targets_of_another_meaning_are_left_alone(self) -> None:
        data = classification_data()
        data.targets = [{"boxes": []}] * N
        datamodule = ActiveLearningDataModule(data, initial_labeled=2)
        assert len(datamodule.labeled_ids) == 2
        with pytest.raises(LabelError, match="pass labels="):
            datamodule.held_back_labels()

    def test_held_back_labels_are_told_by_id(self) -> None:
        datamodule = ActiveLearningDataModule(
            [(0.0, 0), (0.1, 1)], initial_labeled=0, sample_ids=["a", "b"], labels=torch.arange(2)
        )
        assert datamodule.held_back_labels() == {"a": 0, "b": 1}

    def test_labels_dict_tells_what_training_uses_and_restores_the_labeled_set(self) -> None:
        datamodule = make(initial_labeled=[4])
        datamodule.label([9, 2], [0, 0])
        saved = datamodule.labels_dict()
        assert saved == {2: 0, 4: 1, 9: 0}
        restored = make(initial_labeled=saved)
        assert restored.labels_dict() == saved
        assert targets_seen(restored) == targets_seen(datamodule) == [0, 0, 1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"sample_ids": ["a"]}, "sample_ids: expected one for each of 60 training samples"),
            ({"sample_ids": [0] * N}, "0 came more than once"),
            ({"labels": [0]}, "labels: expected one for each of 60 training samples, got 1"),
            ({"evaluation_view": [1]}, "evaluation_view: expected one for each of 60"),
            ({"initial_labeled": 61}, "initial_labeled: expected a count from 0 to 60, got 61"),
            ({"initial_labeled": [60]}, "training data, got 60"),
            ({"val": DataLoader([1])}, "val: expected a map-style data set"),
        ],
    )
    def test_arguments_that_do_not_fit_together_are_an_error(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(LabelError, match=message):
            make(**arguments)


class TestTrainingLoader:
    def test_it_yields_what_the_data_set_yields(self) -> None:
        x, y = next(iter(make(initial_labeled=[0, 1, 2]).train_dataloader()))
        assert x.shape == (3, 4)
        assert y.dtype == torch.int64

    def test_given_labels_replace_the_data_set_s_targets(self) -> None:
        datamodule = make(initial_labeled=[0, 3])
        datamodule.label([6, 9], np.array([1, 2]))
        assert targets_seen(datamodule) == [0, 0, 1, 2]

    def test_dicts_and_a_collate_fn_of_one_s_own_work(self) -> None:
        datasets = pytest.importorskip("datasets")
        data = datasets.Dataset.from_dict({"text": ["a", "bb", "ccc"], "labels": [-1, -1, -1]})

        def pad(items: list[dict[str, Any]]) -> dict[str, Any]:
            width = max(len(item["text"]) for item in items)
            return {
                "text": [item["text"].ljust(width) for item in items],
                "labels": torch.tensor([item["labels"] for item in items]),
            }

        datamodule = ActiveLearningDataModule(
            data, initial_labeled={1: 4, 2: 5}, target_key="labels", collate_fn=pad
        )
        (batch,) = datamodule.train_dataloader()
        assert dict(zip(batch["text"], batch["labels"].tolist(), strict=True)) == {
            "bb ": 4,
            "ccc": 5,
        }
        (pool,) = datamodule.pool_dataloader()
        assert pool.sample_ids == (0,)
        assert pool.batch["text"] == ["a"]

    def test_its_shuffle_follows_seed_everything_and_differs_between_epochs(self) -> None:
        def epochs(seed: int) -> list[list[float]]:
            seed_everything(seed, verbose=False)
            loader = make(initial_labeled=40).train_dataloader()
            return [torch.cat([x for x, _ in loader])[:, 0].tolist() for _ in range(2)]

        first, second, other = epochs(1), epochs(1), epochs(2)
        assert first == second
        assert first != other
        assert first[0] != first[1]
        assert sorted(first[0]) == sorted(first[1])

    def test_the_order_in_which_labels_came_does_not_matter(self) -> None:
        forward, backward = make(initial_labeled=[0]), make(initial_labeled=[0])
        forward.label([1, 2, 3])
        backward.label([3])
        backward.label([2, 1])
        for datamodule in (forward, backward):
            seed_everything(0, verbose=False)
            datamodule.seen = torch.cat([x for x, _ in datamodule.train_dataloader()])
        assert torch.equal(forward.seen, backward.seen)

    def test_no_batch_holds_a_lone_sample(self) -> None:
        loader = make(initial_labeled=17).train_dataloader()
        assert sorted(len(x) for x, _ in loader) == [8, 9]
        assert len(loader) == 2

    def test_nothing_labeled_is_an_error_that_says_how_to_label(self) -> None:
        with pytest.raises(LabelError, match="no sample is labeled; pass initial_labeled="):
            make(initial_labeled=0).train_dataloader()

    def test_labels_that_come_later_leave_a_loader_as_it_is(self) -> None:
        datamodule = make(initial_labeled=4)
        loader = datamodule.train_dataloader()
        datamodule.label(datamodule.pool_ids[:20])
        assert sum(len(x) for x, _ in loader) == 4


class Augmented(Dataset[tuple[Tensor, int]]):
    """Random in training; its items say which view they came from."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return torch.rand(4) + np.random.rand() + random.random(), position % CLASSES


def global_random_states() -> list[Any]:
    state = np.random.get_state(legacy=False)["state"]
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        state["key"].tolist(),
        state["pos"],
    ]


class TestPoolLoader:
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_it_yields_the_pool_with_its_ids_in_order(self, num_workers: int) -> None:
        data = classification_data()
        ids = [f"image-{row}.png" for row in range(N)]
        datamodule = make(sample_ids=ids, num_workers=num_workers)
        loader = datamodule.pool_dataloader()
        batches = list(loader)
        assert all(isinstance(batch, PoolBatch) for batch in batches)
        seen = [sample_id for batch in batches for sample_id in batch.sample_ids]
        assert seen == datamodule.pool_ids.tolist()
        rows = [ids.index(sample_id) for sample_id in seen]
        assert torch.equal(torch.cat([batch.batch[0] for batch in batches]), data.tensors[0][rows])
        assert isinstance(loader.sampler, SequentialSampler)

    def test_ids_are_plain_python(self) -> None:
        batch = next(iter(make().pool_dataloader()))
        assert {type(sample_id) for sample_id in batch.sample_ids} == {int}

    @pytest.mark.parametrize("num_workers", [0, 2])
    @pytest.mark.parametrize("loader", ["pool_dataloader", "labeled_dataloader"])
    def test_it_leaves_every_global_random_state_alone(self, loader: str, num_workers: int) -> None:
        datamodule = ActiveLearningDataModule(
            Augmented(),
            initial_labeled=20,
            evaluation_view=classification_data(),
            num_workers=num_workers,
        )
        before = global_random_states()
        assert len(list(getattr(datamodule, loader)())) > 0
        assert global_random_states() == before

    def test_it_reads_the_evaluation_view_and_training_does_not(self) -> None:
        view = classification_data()
        datamodule = ActiveLearningDataModule(
            Augmented(), initial_labeled=[0, 1], evaluation_view=view, eval_batch_size=100
        )
        (pool,) = datamodule.pool_dataloader()
        (labeled,) = datamodule.labeled_dataloader()
        assert torch.equal(pool.batch[0], view.tensors[0][2:])
        assert torch.equal(labeled.batch[0], view.tensors[0][:2])
        (x, _) = next(iter(datamodule.train_dataloader()))
        assert not torch.isin(x, view.tensors[0]).any()

    def test_an_empty_pool_yields_nothing(self) -> None:
        datamodule = make(initial_labeled=N)
        assert list(datamodule.pool_dataloader()) == []
        assert len(datamodule.pool_dataloader()) == 0

    def test_the_labeled_loader_yields_labeled_ids_with_their_labels(self) -> None:
        datamodule = make(initial_labeled={5: 0, 2: 1})
        (batch,) = datamodule.labeled_dataloader()
        assert batch.sample_ids == (2, 5)
        assert batch.batch[1].tolist() == [1, 0]


class LabelMore(Callback):
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        datamodule = trainer.datamodule
        datamodule.label(datamodule.pool_ids[:10])


class TestInsideATrainer:
    @pytest.mark.parametrize(("reload", "rows"), [(1, [5, 15, 25]), (0, [5, 5, 5])])
    def test_a_running_fit_sees_new_labels_when_it_reloads(
        self, make_trainer: Callable[..., Trainer], reload: int, rows: list[int]
    ) -> None:
        model = Classifier()
        trainer = make_trainer(
            max_epochs=3, reload_dataloaders_every_n_epochs=reload, callbacks=LabelMore()
        )
        trainer.fit(model, datamodule=make())
        assert model.rows_in_epoch == rows

    def test_labels_do_not_travel_in_checkpoints(
        self, make_trainer: Callable[..., Trainer], tmp_path: Path
    ) -> None:
        datamodule = make(val=classification_data(8), initial_labeled=16)
        trainer = make_trainer()
        model = ValidatedClassifier()
        trainer.fit(model, datamodule=datamodule)
        old = tmp_path / "old.ckpt"
        trainer.save_checkpoint(old)

        more = datamodule.pool_ids[:37]
        datamodule.label(more, np.zeros(37))
        make_trainer().validate(model, datamodule=datamodule, ckpt_path=old, **WEIGHTS_ONLY)
        make_trainer(max_epochs=2).fit(model, datamodule=datamodule, ckpt_path=old)

        labels = datamodule.labels_dict()
        assert len(labels) == len(datamodule.labeled_ids) == 16 + 37
        assert all(labels[sample_id] == 0 for sample_id in more)
        assert model.rows_in_epoch == [16, 53]

    def test_without_validation_data_lightning_does_not_validate(
        self, make_trainer: Callable[..., Trainer]
    ) -> None:
        trainer = make_trainer()
        trainer.fit(Classifier(), datamodule=make())
        assert trainer.num_val_batches == []
        with pytest.warns(UserWarning, match="have no `val_dataloader`"):
            make_trainer().fit(ValidatedClassifier(), datamodule=make())

    def test_a_subclass_may_bring_its_own_validation_data(
        self, make_trainer: Callable[..., Trainer]
    ) -> None:
        class WithValidation(ActiveLearningDataModule):
            def val_dataloader(self) -> DataLoader[Any]:
                return DataLoader(classification_data(6), batch_size=2)

        trainer = make_trainer()
        datamodule = WithValidation(classification_data(), initial_labeled=5)
        trainer.fit(ValidatedClassifier(), datamodule=datamodule)
        assert trainer.num_val_batches == [3]

    def test_without_test_data_testing_is_an_error(
        self, make_trainer: Callable[..., Trainer]
    ) -> None:
        class TestedClassifier(Classifier):
            def test_step(self, batch: Any, batch_idx: int) -> None: ...

        with pytest.raises(MisconfigurationException, match="no test data; pass test="):
            make_trainer().test(TestedClassifier(), datamodule=make())
        make_trainer().test(TestedClassifier(), datamodule=make(test=classification_data()))

    def test_validation_data_come_whole_and_in_order(self) -> None:
        datamodule = make(val=classification_data(10), eval_batch_size=4)
        loader = datamodule.val_dataloader()
        assert [len(x) for x, _ in loader] == [4, 4, 2]
        assert torch.equal(torch.cat([y for _, y in loader]), torch.arange(10) % CLASSES)

    def test_it_says_what_it_holds(self) -> None:
        assert "Train dataloader: size=5" in str(make())

    def test_it_survives_pickling(self) -> None:
        copied = pickle.loads(pickle.dumps(make(initial_labeled={3: 1})))
        assert copied.labels_dict() == {3: 1}
        assert targets_seen(copied) == [1]


def test_a_mapping_labels_what_it_names() -> None:
    data = [([float(i)], -1) for i in range(6)]
    datamodule = ActiveLearningDataModule(data, initial_labeled={0: 1})
    datamodule.label({5: 1, 2: 0})
    assert {key: datamodule.labels_dict()[key] for key in (5, 2)} == {5: 1, 2: 0}
    with pytest.raises(LabelError, match="a mapping alone"):
        datamodule.label({3: 1}, [1])
    assert datamodule.labeled_ids.tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    ("argument", "value", "least"),
    [
        ("batch_size", 0, 1),
        ("batch_size", 2.5, 1),
        ("eval_batch_size", 0, 1),
        ("eval_batch_size", -1, 1),
        ("num_workers", -1, 0),
        ("num_workers", True, 0),
    ],
)
def test_sizes_that_no_loader_can_have_are_refused(argument: str, value: Any, least: int) -> None:
    message = f"^{argument}: expected an integer of {least} or more, got {value}$"
    with pytest.raises(MisconfigurationException, match=message):
        make(**{argument: value})


class TestTakingLabelsBack:
    def datamodule(self) -> ActiveLearningDataModule:
        data = [([float(i)], i % 2) for i in range(6)]
        return ActiveLearningDataModule(data, initial_labeled=[0, 1])

    def test_unlabeled_samples_are_in_the_pool_again(self) -> None:
        datamodule = self.datamodule()
        datamodule.label({2: 1})
        datamodule.discard([3])
        datamodule.unlabel([2, 3, 0])
        assert datamodule.labeled_ids.tolist() == [1]
        assert datamodule.pool_ids.tolist() == [0, 2, 3, 4, 5]
        datamodule.label([2])
        assert datamodule.labels_dict() == {1: 1, 2: 0}  # the label given before is forgotten

    def test_a_state_is_a_copy(self) -> None:
        datamodule = self.datamodule()
        state = datamodule.labeled_state()
        datamodule.label({2: 1})
        datamodule.discard([3])
        for _ in range(2):
            datamodule.restore(state)
            assert datamodule.labeled_ids.tolist() == [0, 1]
            assert not len(datamodule.discarded_ids)
            datamodule.label({4: 1})

    def test_unknown_ids_are_an_error(self) -> None:
        with pytest.raises(LabelError, match="99"):
            self.datamodule().unlabel([99])

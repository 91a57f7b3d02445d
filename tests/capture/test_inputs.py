"""What of a batch reaches the model, and whose sample it is."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from capturing import Dicts, Stream, assert_captured, capture
from lightning.pytorch import LightningModule
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, loader
from torch import Tensor
from torch.utils.data import DataLoader, Subset, random_split

from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch

pytestmark = LIGHTNING_WARNINGS


def test_a_tuple_gives_its_first_entry_and_positions_are_ids() -> None:
    model = Classifier()
    captured = capture(model, loader(40))
    assert captured.sample_ids.tolist() == list(range(40))
    assert captured.head_name == "network.3"
    assert_captured(captured, model, blobs(40).tensors[0])


def test_a_tensor_goes_in_as_it_is() -> None:
    model, x = Classifier(), blobs(20).tensors[0]
    assert_captured(capture(model, DataLoader(x, batch_size=8)), model, x)


def test_pool_batches_carry_their_ids() -> None:
    model, x = Classifier(), blobs(4).tensors[0]
    batches = [PoolBatch((7, 3), (x[:2], None)), PoolBatch((9, 1), (x[2:], None))]
    captured = capture(model, batches)
    assert captured.sample_ids.tolist() == [7, 3, 9, 1]
    assert_captured(captured, model, x)


@pytest.mark.parametrize("ids", [[5, 3, 8, 1, 0], list("badce")])
def test_a_dict_goes_in_by_keyword_and_its_ids_stand_under_a_key(ids: list[Any]) -> None:
    model, data = Classifier(), Dicts(ids)
    captured = capture(model, DataLoader(data, batch_size=2), sample_id_key="id")
    assert captured.sample_ids.tolist() == ids
    assert_captured(captured, model, data.x)


@dataclass
class Samples:
    x: Tensor
    path: list[str]


def test_a_dataclass_goes_in_by_keyword_and_its_ids_are_a_field() -> None:
    model, x = Classifier(), blobs(4).tensors[0]
    batches = [Samples(x[:3], ["c", "a", "b"]), Samples(x[3:], ["d"])]
    captured = capture(model, batches, sample_id_key="path")
    assert captured.sample_ids.tolist() == list("cabd")
    assert_captured(captured, model, x)


def test_a_dataclass_whose_fields_forward_does_not_take_goes_in_whole() -> None:
    class WholeBatch(Classifier):
        def forward(self, batch: Samples) -> Tensor:
            return self.network(batch.x)

    model, x = WholeBatch(), blobs(3).tensors[0]
    assert_captured(capture(model, [Samples(x, ["c", "a", "b"])]), model, x)


@pytest.mark.parametrize("key", [0, 2, -1])
def test_ids_may_be_at_a_position_of_tuple_batches(key: int) -> None:
    model, (x, y) = Classifier(), blobs(4).tensors
    ids = torch.tensor([70, 30, 90, 10])
    batches = [(ids, x, y)] if key == 0 else [(x, y, ids)]
    captured = capture(model, batches, sample_id_key=key)
    assert captured.sample_ids.tolist() == ids.tolist()
    assert captured.id_source == f"given by sample_id_key={key}"
    assert_captured(captured, model, x)


def test_of_a_subset_ids_are_positions_in_the_whole() -> None:
    model, data = Classifier(), blobs(40)
    part, _ = random_split(data, [15, 25], torch.Generator().manual_seed(0))
    nested = Subset(part, [4, 2, 11])
    captured = capture(model, DataLoader(nested, batch_size=2))
    ids = captured.sample_ids.tolist()
    assert ids == [part.indices[position] for position in (4, 2, 11)]
    assert captured.id_source.startswith("positions in the TensorDataset of which the pool is a S")
    assert_captured(captured, model, data.tensors[0][ids])


def test_a_forward_of_any_keywords_gets_all_but_the_ids() -> None:
    class AnyKeywords(Classifier):
        def forward(self, **batch: Any) -> Tensor:
            assert batch.keys() == {"x", "note"}
            return self.network(batch["x"])

    model, data = AnyKeywords(), Dicts([1, 2, 3])
    assert_captured(capture(model, DataLoader(data), sample_id_key="id"), model, data.x)


def test_a_forward_of_a_whole_dict_gets_it() -> None:
    class WholeDict(Classifier):
        def forward(self, batch: dict[str, Any]) -> Tensor:
            return self.network(batch["x"])

    model, data = WholeDict(), Dicts([1, 2, 3])
    assert_captured(capture(model, DataLoader(data)), model, data.x)


@pytest.mark.parametrize("takes_number", [True, False])
def test_an_overridden_predict_step_is_called_instead(takes_number: bool) -> None:
    class Predicts(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            numbers.append(batch_idx)
            return self(batch[0]).argmax(1)

    class PredictsBatch(Classifier):
        def predict_step(self, batch: Any) -> Tensor:
            return self(batch[0]).argmax(1)

    numbers: list[int] = []
    model = Predicts() if takes_number else PredictsBatch()
    assert_captured(capture(model, loader(40)), model, blobs(40).tensors[0])
    assert numbers == ([0, 1, 2] if takes_number else [])


def test_transfer_hooks_see_the_users_own_batch() -> None:
    class Hooks(Classifier):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] * 2, batch[1]

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] + 1, batch[1]

    model, x = Hooks(), blobs(4).tensors[0]
    captured = capture(model, [PoolBatch((0, 1, 2, 3), [x, None])])
    assert_captured(captured, model, x * 2 + 1)


def test_a_stream_of_unknown_length_is_read_to_its_end() -> None:
    model = Classifier()
    captured = capture(model, DataLoader(Stream(), batch_size=8))
    assert captured.sample_ids.tolist() == list(range(20))
    assert_captured(captured, model, blobs(20).tensors[0])


def test_a_model_that_can_only_train_is_an_error() -> None:
    class OnlyTrains(LightningModule):
        pass

    with pytest.raises(CaptureError, match="neither forward nor predict_step"):
        capture(OnlyTrains(), loader())

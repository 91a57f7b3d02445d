"""Training loops of one's own, with Fabric and with torch alone: no Trainer, no callback."""

import re
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from dense import assert_gains, dense_gradients
from lightning.fabric import Fabric
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, mlp
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset, TensorDataset

from lightning_badge import order
from lightning_badge.capture import capture
from lightning_badge.exceptions import CaptureError
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS

DOCS = Path(__file__).parents[2] / "docs" / "without_trainer.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
LABELED, POOL = range(30), range(30, 100)


def data() -> TensorDataset:
    return blobs(100)


def fabric(**arguments: Any) -> Fabric:
    torch.manual_seed(0)
    return Fabric(accelerator="cpu", devices=1, **arguments)


def gradients_of(network: nn.Sequential, x: Tensor) -> Tensor:
    network = network.double().eval()
    with torch.no_grad():
        penultimate = network[:-1](x.double())
    return dense_gradients(penultimate, network[-1].weight, network[-1].bias)


def assert_pool_is_ordered(network: nn.Sequential, embedding: Any) -> None:
    gradients = gradients_of(network, data().tensors[0][list(POOL)])
    assert_gains(order(embedding), POOL, gradients)


class Fields(TensorDataset):
    def __getitem__(self, position: int) -> dict[str, Any]:
        x, y = super().__getitem__(position)
        return {"x": x, "labels": y, "name": f"row {position}"}


class Wrapped(nn.Module):
    """Takes one entry of a dict by its name; the labels that come beside it would be an error."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def test_the_loop_of_fabrics_own_guide() -> None:
    trainer = fabric()
    network = mlp()
    model, optimizer = trainer.setup(network, torch.optim.SGD(network.parameters(), lr=0.1))
    labeled = DataLoader(Subset(data(), LABELED), batch_size=10, shuffle=True)
    pool = DataLoader(Subset(data(), POOL), batch_size=16)
    labeled, pool = trainer.setup_dataloaders(labeled, pool)
    model.train()
    for x, y in labeled:
        optimizer.zero_grad()
        trainer.backward(functional.cross_entropy(model(x), y))
        optimizer.step()
    before = torch.get_rng_state()
    embedding = capture(model, pool)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(part.training for part in model.modules())
    assert_pool_is_ordered(network, embedding)


def test_a_loop_of_plain_torch() -> None:
    torch.manual_seed(0)
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for x, y in DataLoader(Subset(data(), LABELED), batch_size=10, shuffle=True):
        optimizer.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    embedding = capture(network, DataLoader(Subset(data(), POOL), batch_size=16))
    assert_pool_is_ordered(network, embedding)


def test_a_loader_of_fabric_that_shuffles_is_refused() -> None:
    trainer = fabric()
    pool = trainer.setup_dataloaders(DataLoader(data(), shuffle=True))
    with pytest.raises(CaptureError, match=r"shuffles \(RandomSampler\)"):
        capture(trainer.setup_module(mlp()), pool)


def test_a_dict_batch_reaches_the_model_that_fabric_wraps_by_its_keywords() -> None:
    trainer, model = fabric(), Wrapped()
    pool = trainer.setup_dataloaders(DataLoader(Fields(*data().tensors), batch_size=16))
    embedding = capture(trainer.setup_module(model), pool, sample_id_key="name")
    gradients = gradients_of(model.network, data().tensors[0])
    assert_gains(order(embedding), [f"row {i}" for i in range(100)], gradients)


def test_the_head_has_the_name_that_it_has_in_the_model() -> None:
    model = fabric().setup_module(mlp())
    pool = DataLoader(data(), batch_size=16)
    assert torch.equal(capture(model, pool, "3").logit_grad, capture(model, pool).logit_grad)


def test_fabrics_precision_is_used() -> None:
    network = mlp()
    pool = DataLoader(data(), batch_size=16)
    embedding = capture(fabric(precision="bf16-mixed").setup_module(network), pool)
    assert torch.equal(embedding.penultimate, embedding.penultimate.bfloat16().float())
    assert not torch.equal(embedding.penultimate, capture(network, pool).penultimate)
    double = capture(fabric(precision="64-true").setup_module(network), pool)
    assert double.penultimate.dtype == torch.float64


def test_a_lightning_module_keeps_its_predict_step() -> None:
    class Predicts(Classifier):
        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self(2 * batch[0]).argmax(1)

    model = Predicts()
    pool = DataLoader(data(), batch_size=16)
    embedding = capture(fabric().setup_module(model), pool)
    assert_gains(order(embedding), range(100), gradients_of(model.network, 2 * data().tensors[0]))


@pytest.mark.slow
def test_a_model_compiled_before_or_after_its_setup() -> None:
    network = mlp()
    compiled: Any = torch.compile(network, backend="eager")
    pool = DataLoader(Subset(data(), POOL), batch_size=16)
    expected = capture(network, pool)
    for model in (
        fabric().setup_module(compiled),
        torch.compile(fabric().setup_module(network), backend="eager"),
    ):
        assert torch.equal(capture(model, pool).logit_grad, expected.logit_grad)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=["torch", "fabric"])
def test_what_the_documentation_shows_runs(tmp_path: Path, script: str) -> None:
    done = forked.run_program(tmp_path, script)
    assert done.status == 0, done.err
    assert len(read_ordering(tmp_path / "ordering.parquet")) == 200

"""``capture(model, loader)`` gives without a Trainer what the callback embeds with one."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch
from capturing import Dicts, Stream, expected
from capturing import capture as capture_with_trainer
from tiny import (
    CLASSES,
    HIDDEN,
    LIGHTNING_WARNINGS,
    WIDTH,
    Classifier,
    blobs,
    fit,
    loader,
    mlp,
    needs_gpu,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from lightning_badge.capture import capture, without_trainer
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError, CaptureError, EmbeddingError, HeadError
from lightning_badge.pool_batch import PoolBatch

pytestmark = LIGHTNING_WARNINGS


class Predicts(Classifier):
    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(2 * batch[0]).argmax(1)


class Hooks(Classifier):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] * 2, batch[1]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + 1, batch[1]


class WholeDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def forward(self, batch: dict[str, Any]) -> Tensor:
        logits: Tensor = self.network(batch["x"])
        return logits


def assert_same(one: GradientEmbedding, other: GradientEmbedding) -> None:
    assert one.sample_ids.tolist() == other.sample_ids.tolist()
    assert torch.equal(one.penultimate, other.penultimate)
    assert torch.equal(one.logit_grad, other.logit_grad)
    assert (one.loss, one.bias) == (other.loss, other.bias)


@pytest.mark.parametrize(
    ("make_model", "pool", "arguments"),
    [
        (Classifier, loader(40), {}),
        (Classifier, DataLoader(blobs(20).tensors[0], batch_size=8), {"head": "network.3"}),
        (Classifier, [PoolBatch((7, 3), (blobs(2).tensors[0], None))], {}),
        (Classifier, DataLoader(Dicts(list("badce"))), {"sample_id_key": "id"}),
        (Classifier, DataLoader(Stream(), batch_size=8), {}),
        (Predicts, loader(40), {}),
        (Hooks, loader(40), {}),
    ],
    ids=["tuples", "tensors", "pool batches", "dicts", "stream", "predict_step", "hooks"],
)
@pytest.mark.parametrize("bias", [False, True])
def test_a_lightning_module_gives_what_it_gives_with_a_trainer(
    make_model: Callable[[], Classifier], pool: Any, arguments: dict[str, Any], bias: bool
) -> None:
    model = make_model()
    with_trainer = capture_with_trainer(model, pool, **arguments).embedding(bias=bias)
    model.trainer = None
    assert_same(capture(model, pool, bias=bias, **arguments), with_trainer)


def test_any_module_will_do() -> None:
    model, x = mlp(), blobs(40).tensors[0]
    embedding = capture(model, loader(40))
    penultimate, logits = expected(Classifier(model), x)
    torch.testing.assert_close(embedding.penultimate, penultimate)
    own = GradientEmbedding.from_logits(penultimate, logits)
    torch.testing.assert_close(embedding.logit_grad, own.logit_grad)
    assert embedding.sample_ids.tolist() == list(range(40))


def test_a_module_that_takes_the_whole_dict_gets_it() -> None:
    model, data = WholeDict(), Dicts([5, 1, 4])
    embedding = capture(model, DataLoader(data, batch_size=3), sample_id_key="id")
    assert embedding.sample_ids.tolist() == [5, 1, 4]
    assert_same(embedding, capture(model.network, [PoolBatch((5, 1, 4), data.x)]))


@pytest.mark.parametrize(
    ("pool", "source"),
    [
        (loader(8), "positions in the pool's TensorDataset"),
        (DataLoader(Subset(blobs(9), [4, 2])), "positions in the TensorDataset of which the pool"),
        ([PoolBatch((7, 3), blobs(2).tensors[0])], "given by PoolBatch"),
    ],
)
def test_says_once_what_the_ids_are(
    monkeypatch: pytest.MonkeyPatch, pool: Any, source: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(without_trainer, "rank_zero_info", said.append)
    capture(mlp(), pool)
    (line,) = said
    assert line.startswith(f"capture: sample ids are {source}")


def test_a_compiled_module_runs_eagerly() -> None:
    model = mlp()
    compiled: Any = torch.compile(model, backend="eager")
    assert_same(capture(compiled, loader(40)), capture(model, loader(40)))


def test_a_model_that_a_trainer_has_trained(tmp_path: Path) -> None:
    model = Hooks()
    fit(tmp_path, model=model)
    with_trainer = capture_with_trainer(model, loader(20)).embedding()
    assert_same(capture(model, loader(20)), with_trainer)


@pytest.mark.parametrize(
    ("outputs", "loss", "embedded"),
    [
        (1, "auto", "binary_cross_entropy"),
        (3, "auto", "cross_entropy"),
        (3, "binary_cross_entropy", "binary_cross_entropy"),
    ],
)
def test_embeds_the_loss_that_fits_the_head_or_the_one_asked_for(
    outputs: int, loss: str, embedded: str
) -> None:
    assert capture(mlp(outputs), loader(), loss=loss).loss == embedded


def test_autocast_around_it_sets_the_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        embedding = capture(mlp(), loader())
    exact = capture(mlp(), loader())
    assert embedding.penultimate.dtype == exact.penultimate.dtype == torch.float32
    assert torch.equal(embedding.penultimate, embedding.penultimate.bfloat16().float())


class TestNothingStays:
    @pytest.mark.parametrize("fails", [False, True])
    def test_modes_hooks_gradients_and_random_states_are_as_before(self, fails: bool) -> None:
        class Noisy(nn.Sequential):
            batches = 0

            def forward(self, x: Tensor) -> Tensor:
                self.batches += 1
                torch.rand(3), np.random.rand(3), random.random()
                assert not self.training
                assert not torch.is_grad_enabled()
                if fails and self.batches == 2:
                    raise ZeroDivisionError
                return super().forward(x)

        model = Noisy(*mlp())
        model[0].eval()
        generator = torch.Generator().manual_seed(3)
        before = self.states(model, generator)
        raised = pytest.raises(CaptureError, match="ZeroDivisionError") if fails else nullcontext()
        with raised:
            capture(model, loader(40, generator=generator))
        assert self.states(model, generator) == before
        assert torch.is_grad_enabled()
        for part in model.modules():
            assert not part._forward_hooks
            assert not part._forward_pre_hooks
        assert all(parameter.grad is None for parameter in model.parameters())

    def states(self, model: nn.Module, generator: torch.Generator) -> list[Any]:
        return [
            [part.training for part in model.modules()],
            generator.get_state().tolist(),
            torch.get_rng_state().tolist(),
            random.getstate(),
            [np.asarray(part).tolist() for part in np.random.get_state()],
        ]

    def test_under_inference_mode_the_results_are_ordinary_tensors(self) -> None:
        with torch.inference_mode():
            embedding = capture(mlp(), loader())
        tensors = (embedding.penultimate, embedding.logit_grad, embedding.sq_norm)
        assert not any(tensor.is_inference() or tensor.requires_grad for tensor in tensors)


class TestDevice:
    def test_batches_go_where_the_model_is(self) -> None:
        class NotesDevices(nn.Sequential):
            def forward(self, x: Tensor) -> Tensor:
                assert x.device.type == "meta"
                raise ZeroDivisionError

        with pytest.raises(CaptureError, match="ZeroDivisionError"):
            capture(NotesDevices(*mlp()).to("meta"), loader())

    def test_a_device_that_the_model_is_not_on_is_an_error(self) -> None:
        with pytest.raises(CaptureError, match=r"device='meta'.*on cpu.*model\.to\('meta'\)"):
            capture(mlp(), loader(), device="meta")
        assert len(capture(mlp(), loader(), device="cpu")) == 40

    @needs_gpu
    def test_a_model_on_a_gpu(self) -> None:
        model = mlp().cuda()
        for device in (None, "cuda", "cuda:0"):
            embedding = capture(model, loader(), device=device)
            assert embedding.logit_grad.is_cuda
            penultimate, _ = expected(Classifier(model), blobs(40).tensors[0].cuda())
            torch.testing.assert_close(embedding.penultimate, penultimate)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"loss": "mse"}, EmbeddingError, "auto, cross_entropy, .*, got 'mse'"),
            ({"backend": "tpu"}, BadgeError, "backend: expected one of .*, got 'tpu'"),
            ({"head": "fc"}, HeadError, "no module of the model has this name"),
        ],
    )
    def test_wrong_arguments_are_refused_before_the_model_runs(
        self, arguments: dict[str, Any], error: type[BadgeError], message: str
    ) -> None:
        class Unrun(nn.Sequential):
            def forward(self, x: Tensor) -> Tensor:
                raise ZeroDivisionError

        with pytest.raises(error, match=message):
            capture(Unrun(*mlp()), loader(), **arguments)

    def test_a_model_without_forward(self) -> None:
        with pytest.raises(CaptureError, match="Module defines neither forward nor predict_step"):
            capture(nn.Module(), loader())

    def test_an_empty_pool(self) -> None:
        with pytest.raises(CaptureError, match="the pool is empty"):
            capture(mlp(), [])

    def test_a_head_that_runs_twice(self) -> None:
        shared = nn.Linear(CLASSES, CLASSES)
        model = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, CLASSES), shared, shared)
        with pytest.raises(HeadError, match="ran 2 times"):
            capture(model, loader())


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import lightning_badge; from lightning_badge.capture import capture",
        "from lightning_badge.capture import capture",
        "import lightning_badge.capture.pool; capture = lightning_badge.capture.capture",
    ],
)
def test_the_package_of_the_same_name_does_not_hide_it(imports: str, tmp_path: Path) -> None:
    code = f"{imports}; assert capture.__name__ == 'capture'; import lightning_badge.capture.pool"
    done = forked.run_program(tmp_path, forked.ANEW + code)
    assert done.status == 0, done.err

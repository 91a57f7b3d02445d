import random
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from capturing import Dicts, Stream, capture
from tiny import CLASSES, HIDDEN, LIGHTNING_WARNINGS, WIDTH, Classifier, loader
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_badge.capture.pool import PenultimateCapture
from lightning_badge.exceptions import CaptureError, HeadError

pytestmark = LIGHTNING_WARNINGS


class TestPrecision:
    def test_double_precision_converts_inputs(self) -> None:
        model = Classifier().double()
        captured = capture(model, loader(), trainer={"precision": "64-true"})
        assert captured.logits.dtype == torch.float64

    def test_mixed_precision_runs_the_head_in_it(self) -> None:
        captured = capture(Classifier(), loader(), trainer={"precision": "bf16-mixed"})
        assert captured.logits.dtype == torch.bfloat16
        assert captured.penultimate.shape == (40, HIDDEN)


class TestOncePerBatch:
    @pytest.mark.parametrize("head", [None, "network.3"])
    def test_the_model_runs_once_for_each_batch(self, head: str | None) -> None:
        ran = []
        model = Classifier()
        model.network.register_forward_hook(lambda *_: ran.append(1))
        capture(model, loader(40, batch_size=10), head=head)
        assert len(ran) == 4

    @pytest.mark.parametrize(("calls", "said"), [(0, "ran 0 times"), (2, "ran 2 times")])
    def test_a_head_that_runs_another_number_of_times_later_is_an_error(
        self, calls: int, said: str
    ) -> None:
        class Changing(Classifier):
            batches = 0

            def forward(self, x: Tensor) -> Tensor:
                self.batches += 1
                hidden = self.network[:-1](x)
                times = 1 if self.batches == 1 else calls
                return [hidden, *(self.network[-1](hidden) for _ in range(times))][-1]

        with pytest.raises(CaptureError, match=f"'network.3'.*{said}"):
            capture(Changing(), loader())

    def test_several_rows_for_a_sample_are_an_error(self) -> None:
        class Crops(Classifier):
            def forward(self, x: Tensor) -> Tensor:
                return self.network(torch.cat([x, x]))

        with pytest.raises(CaptureError, match="batch of 2 samples gave the head 4 rows"):
            capture(Crops(), DataLoader(Dicts([1, 2]), batch_size=2), sample_id_key="id")
        with pytest.raises(CaptureError, match="each of the pool's 40 samples, got 64 and more"):
            capture(Crops(), loader())

    def test_a_loader_that_drops_samples_is_an_error(self) -> None:
        with pytest.raises(CaptureError, match="40 samples, got 32; .*drop_last"):
            capture(Classifier(), loader(40, drop_last=True))

    def test_an_empty_pool_is_an_error(self) -> None:
        with pytest.raises(CaptureError, match="the pool is empty"):
            capture(Classifier(), [])


class TestNothingStays:
    def modes(self, model: nn.Module) -> list[bool]:
        return [part.training for part in model.modules()]

    def random_states(self) -> list[Any]:
        return [
            torch.get_rng_state().tolist(),
            random.getstate(),
            [np.asarray(part).tolist() for part in np.random.get_state()],
        ]

    @pytest.mark.parametrize("fails", [False, True])
    def test_modes_hooks_gradients_and_random_states_are_as_before(self, fails: bool) -> None:
        class Noisy(Classifier):
            batches = 0

            def forward(self, x: Tensor) -> Tensor:
                self.batches += 1
                torch.rand(3), np.random.rand(3), random.random()
                assert not self.training
                if fails and self.batches == 2:
                    raise ZeroDivisionError
                return super().forward(x)

        model = Noisy()
        model.network[0].eval()
        model.network[2].eval()
        generator = torch.Generator().manual_seed(3)
        before = self.modes(model), self.random_states(), generator.get_state().tolist()
        raised = pytest.raises(CaptureError, match="ZeroDivisionError") if fails else nullcontext()
        with raised:
            capture(model, loader(40, generator=generator))
        after = self.modes(model), self.random_states(), generator.get_state().tolist()
        assert after == before
        assert all(not part._forward_hooks for part in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_batch_statistics_are_not_updated(self) -> None:
        model = Classifier(nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, CLASSES)))
        capture(model, loader())
        assert torch.equal(model.network[0].running_mean, torch.zeros(WIDTH))

    def test_under_inference_mode_the_results_are_ordinary_tensors(self) -> None:
        for pool in (loader(), DataLoader(Stream(), batch_size=8)):
            with torch.inference_mode():
                captured = capture(Classifier(), pool)
            assert not captured.penultimate.is_inference()
            captured.logits.requires_grad_().softmax(1).sum().backward()


class TestPenultimateCapture:
    def test_takes_one_batch_at_a_time(self) -> None:
        layer = nn.Linear(4, 2)
        with PenultimateCapture(layer) as capture:
            for rows in (3, 5):
                layer(torch.ones(rows, 4))
                penultimate, logits = capture.take()
                assert (penultimate.shape, logits.shape) == ((rows, 4), (rows, 2))

    def test_the_hook_is_gone_after_an_exception(self) -> None:
        layer = nn.Linear(4, 2)
        with pytest.raises(ZeroDivisionError), PenultimateCapture(layer):
            raise ZeroDivisionError
        assert not layer._forward_hooks

    def test_a_head_that_changes_its_shapes_is_an_error(self) -> None:
        layer = nn.Linear(4, 2)
        with PenultimateCapture(layer, "fc") as capture:
            layer(torch.ones(3, 7, 4))
            with pytest.raises(CaptureError, match=r"'fc'.*\[3, 7, 4\] -> \[3, 7, 2\]"):
                capture.take()


def test_a_model_without_a_linear_layer_is_an_error() -> None:
    with pytest.raises(HeadError, match="none did"):
        capture(Classifier(nn.Softmax(dim=1)), loader())

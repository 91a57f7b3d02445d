from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from two_layers import CLASSES, N, TwoLayers, find, inputs

from lightning_badge.capture.layer_calls import outermost_results, record_calls


def test_calls_are_recorded_in_the_order_they_end() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (2, 4)), nn.Flatten())
    with record_calls({"whole": model, "first": model[0], "last": model[2]}) as calls:
        model(inputs())
    assert [(call.layer, call.shapes) for call in calls] == [
        ("first", "[6, 5] -> [6, 8]"),
        ("last", "[6, 2, 4] -> [6, 8]"),
        ("whole", "[6, 5] -> [6, 8]"),
    ]
    assert calls[1].entered is None
    assert torch.equal(calls[1].left, calls[0].left)


def test_outermost_results_are_those_of_modules_that_no_module_called() -> None:
    model = nn.ModuleDict({"one": nn.Sequential(nn.ReLU(), nn.ReLU()), "other": nn.ReLU()})
    with outermost_results(model) as results:
        one = model["one"](inputs())
        other = model["other"](one)
    assert [id(result) for result in results] == [id(one), id(other)]


class TestNothingStays:
    def hooks(self, model: nn.Module) -> int:
        return sum(
            len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()
        )

    def test_no_hook_after_a_search(self) -> None:
        model = TwoLayers()
        find(model)
        find(model, "fc")
        assert self.hooks(model) == 0

    @pytest.mark.parametrize("head", [None, "fc"])
    def test_no_hook_after_an_exception(self, head: str | None) -> None:
        def fail(logits: Tensor) -> Tensor:
            raise ZeroDivisionError

        model = TwoLayers(fail)
        with pytest.raises(ZeroDivisionError):
            find(model, head)
        assert self.hooks(model) == 0


class TestCompiled:
    @pytest.mark.parametrize("head", [None, "network.fc", "network._orig_mod.fc"])
    def test_the_head_is_found_in_a_model_that_already_ran_compiled(self, head: str | None) -> None:
        model = nn.Sequential(OrderedDict(network=torch.compile(TwoLayers(), backend="eager")))
        model(inputs())
        found = find(model, head)
        assert found.name == "network.fc"
        assert found.logits.shape == (N, CLASSES)

    def test_a_model_compiled_in_place_is_not_compiled_again_afterwards(self) -> None:
        compiled = []

        def backend(graph: Any, _: Any) -> Any:
            compiled.append(graph)
            return graph.forward

        model = TwoLayers()
        model.compile(backend=backend)
        model(inputs())
        before = len(compiled)
        assert find(model).name == "fc"
        model(inputs())
        assert len(compiled) == before

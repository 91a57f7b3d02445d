from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from two_layers import CLASSES, N, TwoLayers, find, inputs

from lightning_badge.capture.head import find_head
from lightning_badge.exceptions import HeadError


@pytest.mark.parametrize(
    "finish",
    [
        lambda logits: logits,
        lambda logits: functional.log_softmax(logits, 1),
        lambda logits: logits.softmax(1),
        torch.sigmoid,
        functional.logsigmoid,
        lambda logits: (logits, "aux"),
        lambda logits: [logits],
        lambda logits: ((logits,), None),
        lambda logits: {"loss": torch.tensor(0.0), "logits": logits},
        lambda logits: {"probabilities": logits.softmax(1), "classes": logits.argmax(1)},
        lambda logits: OrderedDict(logits=logits),
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: torch.distributions.Categorical(logits=logits),
        lambda logits: logits.bfloat16(),
        lambda logits: logits.double().softmax(1),
    ],
)
def test_what_the_model_returns_tells_its_head(finish: Callable[[Tensor], Any]) -> None:
    model = TwoLayers(finish)
    found = find(model)
    assert found.name == "fc"
    assert found.module is model.fc
    hidden = model.hidden(inputs()).relu()
    torch.testing.assert_close(found.penultimate, hidden)
    torch.testing.assert_close(found.logits, model.fc(hidden))


@pytest.mark.parametrize(
    "finish", [lambda logits: logits.squeeze(1), lambda logits: torch.sigmoid(logits).squeeze(1)]
)
def test_a_squeezed_binary_output_tells_the_head(finish: Callable[[Tensor], Any]) -> None:
    found = find(TwoLayers(finish, c=1))
    assert found.name == "fc"
    assert found.logits.shape == (N, 1)


def test_the_last_linear_layer_of_a_plain_network_is_the_head() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, CLASSES)).eval()
    assert find(model).name == "3"


def test_the_only_linear_layer_that_runs_is_the_head() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, CLASSES), nn.LogSoftmax(dim=1))
    assert find(model).name == "1"


def test_the_only_linear_layer_is_taken_with_a_warning_when_something_else_is_returned() -> None:
    class Scaled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 3.0 * super().forward(x)

    with pytest.warns(UserWarning, match="'0'.*only linear layer that ran.*head='0' confirms"):
        assert find(Scaled(nn.Linear(5, CLASSES))).name == "0"
    assert find(Scaled(nn.Linear(5, CLASSES)), "0").name == "0"


def test_a_method_that_returns_classes_still_tells_by_the_network_that_it_called() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(5, 5), "network": TwoLayers()})

    def predict() -> Tensor:
        return model["network"](model["encoder"](inputs())).argmax(1)

    assert find_head(model, predict).name == "network.fc"


def test_work_in_place_on_activations_and_logits_changes_nothing() -> None:
    class InPlace(TwoLayers):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self.hidden(x).relu_()
            logits = self.fc(hidden)
            hidden.zero_()
            returned = logits.clone()
            logits.div_(7.0)
            return returned

    model = InPlace()
    with torch.no_grad():
        found = find(model)
        hidden = model.hidden(inputs()).relu()
    assert torch.equal(found.penultimate, hidden)
    assert torch.equal(found.logits, model.fc(hidden))


def test_a_lazy_layer_is_found_once_it_has_its_shape() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(CLASSES))
    assert find(model).name == "2"


def test_a_layer_that_wraps_another_linear_layer_is_the_head_itself() -> None:
    class Adapted(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, CLASSES)
            self.base = nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x)

    model = nn.Sequential(nn.Linear(5, 8), Adapted())
    assert find(model).name == "1"


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_scripted_part_is_left_alone() -> None:
    body = torch.jit.script(nn.Sequential(nn.Linear(5, 8), nn.ReLU()))
    assert find(nn.Sequential(body, nn.Linear(8, CLASSES))).name == "1"


def test_not_a_number_in_the_logits_does_not_hide_the_head() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, CLASSES))
    nn.init.constant_(model[1].weight, torch.nan)
    assert find(model).name == "1"


class TestNamedHead:
    def test_any_module_from_matrix_to_matrix_may_be_named(self) -> None:
        class LoRA(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.base = nn.Linear(8, CLASSES)
                self.down, self.up = nn.Linear(8, 2), nn.Linear(2, CLASSES)

            def forward(self, x: Tensor) -> Tensor:
                return self.base(x) + self.up(self.down(x))

        model = nn.Sequential(OrderedDict(body=nn.Linear(5, 8), head=LoRA()))
        found = find(model, "head")
        assert (found.name, found.module) == ("head", model.head)
        assert torch.equal(found.logits, model(inputs()))

    def test_it_beats_what_the_model_returns(self) -> None:
        assert find(TwoLayers(), "decoy").name == "decoy"

    def test_a_layer_with_two_names_answers_to_both(self) -> None:
        model = nn.Sequential(OrderedDict(fc=nn.Linear(5, CLASSES)))
        model.alias = model.fc
        model.forward = lambda x: model.alias(x)
        assert find(model, "alias").module is find(model, "fc").module is model.fc

    def test_arguments_by_keyword_are_captured(self) -> None:
        class ByKeyword(TwoLayers):
            def forward(self, x: Tensor) -> Tensor:
                return self.fc(input=self.hidden(input=x))

        assert find(ByKeyword(), "fc").penultimate.shape == (N, 8)

    def test_a_name_that_is_not_there_lists_the_layers_and_the_nearest_name(self) -> None:
        with pytest.raises(HeadError, match=r"'fcc'.*'hidden', 'fc', 'decoy'.*mean 'fc'\?"):
            find(TwoLayers(), "fcc")

    def test_a_head_that_never_runs_is_an_error(self) -> None:
        with pytest.raises(HeadError, match=r"'unused': expected to run once.*ran 0 times.*'fc'"):
            find(TwoLayers(), "unused")

    def test_a_head_that_gives_no_matrix_is_an_error(self) -> None:
        model = nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (2, 4)))
        with pytest.raises(HeadError, match=r"got \[6, 8\] -> \[6, 2, 4\]"):
            find(model, "1")


class TestNoHead:
    def test_no_linear_layer(self) -> None:
        with pytest.raises(HeadError, match="none did; the model has no linear layer"):
            find(nn.Sequential(nn.ReLU()))

    def test_no_linear_layer_that_runs(self) -> None:
        model = nn.ModuleDict({"fc": nn.Linear(5, 2)})
        with pytest.raises(HeadError, match="none did; the model has the linear layers 'fc'"):
            find_head(model, lambda: None)

    def test_a_return_value_of_no_layer_lists_the_candidates_with_shapes(self) -> None:
        with pytest.raises(
            HeadError,
            match=r"'hidden' \[6, 5\] -> \[6, 8\], 'fc' \[6, 8\] -> \[6, 4\].*output of none of",
        ):
            find(TwoLayers(lambda logits: logits * 2))

    def test_two_layers_with_the_same_output(self) -> None:
        model = TwoLayers()
        model.decoy.load_state_dict(model.fc.state_dict())
        with pytest.raises(HeadError, match="output of 'fc' and also of 'decoy'; name"):
            find(model)

    def test_a_head_that_runs_twice(self) -> None:
        class Twice(TwoLayers):
            def forward(self, x: Tensor) -> Tensor:
                self.fc(self.hidden(x))
                return super().forward(x)

        with pytest.raises(HeadError, match=r"'fc'.*once.*ran 2 times.*\(2 times\)"):
            find(Twice())

    @pytest.mark.parametrize("finish", [nn.Identity(), lambda logits: logits[:, 0]])
    def test_a_head_that_runs_on_tokens(self, finish: Callable[[Tensor], Tensor]) -> None:
        class Tokens(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.score = nn.Linear(5, CLASSES)

            def forward(self, x: Tensor) -> Tensor:
                return finish(self.score(x))

        with pytest.raises(HeadError, match=r"'score'.*\[n, c\].*\[6, 3, 5\] -> \[6, 3, 4\]"):
            find(Tokens(), x=torch.randn(N, 3, 5))

    def test_of_many_candidates_the_last_are_listed(self) -> None:
        model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(40)), nn.Softplus())
        with pytest.raises(HeadError, match=r"ran: '28'.*'39'.*\(28 more before them\)"):
            find(model)


def test_mixed_precision_does_not_hide_the_head() -> None:
    model = TwoLayers(lambda logits: functional.log_softmax(logits.float(), 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = find(model)
    assert found.name == "fc"
    assert found.logits.dtype == torch.bfloat16

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
            self.base.weight, self.base.bias = self.weight, self.bias

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x)

    model = nn.Sequential(nn.Linear(5, 8), Adapted())
    assert find(model).name == "1"


class Adapter(nn.Module):
    """A low-rank adapter in the layout of the package peft."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.lora_A, self.lora_B = nn.Linear(8, 2, bias=False), nn.Linear(2, CLASSES, bias=False)

    def merge(self) -> None:
        with torch.no_grad():
            self.base_layer.weight += self.lora_B.weight @ self.lora_A.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


class TestAdapters:
    def model(self, adapter: type[Adapter] = Adapter) -> nn.Module:
        head = adapter(nn.Linear(8, CLASSES))
        return nn.Sequential(OrderedDict(body=nn.Linear(5, 8), classifier=head))

    @pytest.mark.parametrize("head", [None, "classifier"])
    def test_the_adapter_is_the_head_and_not_the_layer_in_it(self, head: str | None) -> None:
        model = self.model()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = find(model, head)
        assert (found.name, found.module) == ("classifier", model.classifier)
        assert torch.equal(found.logits, model(inputs()))
        after = model.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())

    def test_it_is_offered_where_the_head_cannot_be_told(self) -> None:
        class Scaled(nn.Sequential):
            def forward(self, x: Tensor) -> Tensor:
                return 2 * super().forward(x) + 1

        with pytest.raises(HeadError) as caught:
            find(Scaled(self.model()))
        assert "'0.classifier' [6, 8] -> [6, 4]" in str(caught.value)
        assert "base_layer" not in str(caught.value)
        assert "lora" not in str(caught.value)

    @pytest.mark.parametrize("part", ["base_layer", "lora_B"])
    def test_a_part_of_it_is_refused(self, part: str) -> None:
        with pytest.raises(HeadError, match="part of the adapter 'classifier'.*head='classifier'"):
            find(self.model(), f"classifier.{part}")

    def test_one_that_does_what_its_merged_weight_does_not_is_refused(self) -> None:
        class Gated(Adapter):
            def forward(self, x: Tensor) -> Tensor:
                return self.base_layer(x) + self.lora_B(self.lora_A(x).relu())

        with pytest.raises(HeadError, match="'classifier'.*the adapter's merged weight"):
            find(self.model(Gated))


class NormLinear(nn.Linear):
    """A cosine classifier: both the input and the weight are normalized."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * functional.linear(functional.normalize(x), functional.normalize(self.weight))


class TestOtherThanLinear:
    @pytest.mark.parametrize("head", [None, "1"])
    def test_a_normalized_head_is_refused(self, head: str | None) -> None:
        model = nn.Sequential(nn.Linear(5, 8), NormLinear(8, CLASSES, bias=False))
        with pytest.raises(
            HeadError, match=r"head '1' \(NormLinear\).*not input @ weight.T \+ bias.*normalized"
        ):
            find(model, head)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_in_every_precision(self, dtype: torch.dtype) -> None:
        x = inputs().to(dtype)
        assert find(nn.Sequential(nn.Linear(5, CLASSES)).to(dtype), x=x).name == "0"
        with pytest.raises(HeadError, match="NormLinear"):
            find(nn.Sequential(NormLinear(5, CLASSES)).to(dtype), x=x)

    def test_a_wide_head_in_mixed_precision_is_taken(self) -> None:
        model = nn.Sequential(nn.Linear(5, 2048), nn.ReLU(), nn.Linear(2048, 300))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert find(model).name == "2"

    @pytest.mark.parametrize(
        "network",
        [
            nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, CLASSES)),
            nn.LayerNorm(5),
            nn.Softmax(dim=1),
        ],
    )
    def test_a_named_module_must_be_affine(self, network: nn.Module) -> None:
        model = nn.Sequential(OrderedDict(head=network))
        with pytest.raises(HeadError, match="'head'.*not an affine function of its input"):
            find(model, "head")

    @pytest.mark.parametrize(
        "network",
        [
            nn.Sequential(nn.Dropout(0.5), nn.Linear(5, CLASSES)).eval(),
            nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, CLASSES)).eval(),
            nn.utils.parametrizations.weight_norm(nn.Linear(5, CLASSES)),
        ],
    )
    def test_a_named_affine_module_is_taken(self, network: nn.Module) -> None:
        assert find(nn.Sequential(OrderedDict(head=network)), "head").name == "head"

    def test_a_layer_that_keeps_its_weight_transposed_is_taken(self) -> None:
        class Transposed(nn.Module):
            def __init__(self, h: int, c: int) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(h, c))

            def forward(self, x: Tensor) -> Tensor:
                return x @ self.weight

        for c in (5, CLASSES):
            assert find(nn.Sequential(Transposed(5, c)), "0").name == "0"

    def test_a_class_that_is_masked_out_does_not_matter(self) -> None:
        class Masked(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x).index_fill(1, torch.tensor([2]), -torch.inf)

        assert find(nn.Sequential(Masked(5, CLASSES))).name == "0"


class TestAnotherWidth:
    """The only linear layer that runs is not the head where its width is not the model's."""

    def test_a_gate_over_channels(self) -> None:
        class Gated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.squeeze = nn.Linear(16, 16)
                self.last = nn.Conv1d(16, 10, 3)

            def forward(self, x: Tensor) -> Tensor:
                gate = self.squeeze(x.mean(2)).sigmoid()
                return self.last(x * gate[:, :, None]).mean(2)

        with pytest.raises(
            HeadError,
            match=r"'squeeze' is the only linear layer that ran, but it gives \[6, 16\].*"
            r"returned \[6, 10\]",
        ):
            find(Gated(), x=torch.randn(N, 16, 8))

    def test_an_embedding_before_a_cosine_head(self) -> None:
        class Cosine(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = nn.Linear(5, 16)
                self.prototypes = nn.Parameter(torch.randn(10, 16))

            def forward(self, x: Tensor) -> Tensor:
                rows = functional.normalize(self.embed(x))
                return rows @ functional.normalize(self.prototypes).T

        model = Cosine()
        for run in (lambda: model(inputs()), lambda: model(inputs()).argmax(1)):
            with pytest.raises(HeadError, match=r"'embed'.*\[6, 16\].*returned \[6, 10\]"):
                find_head(model, run)


class ConvHead(nn.Module):
    """Squeeze and excitation by 1x1 convolutions, and a head that is one, too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3)
        self.reduce, self.expand = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Conv2d(8, CLASSES, 1)
        self.flat, self.pools = True, True

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body(x)
        maps = maps * self.expand(self.reduce(maps.mean((2, 3), keepdim=True)).relu()).sigmoid()
        pooled = maps.mean((2, 3), keepdim=True) if self.pools else maps
        logits = self.head(pooled)
        return logits.flatten(1) if self.flat else logits


class TestConvolutions:
    @pytest.mark.parametrize("flat", [True, False])
    @pytest.mark.parametrize("head", [None, "head"])
    def test_a_pointwise_convolution_on_pooled_maps_is_a_head(
        self, head: str | None, flat: bool
    ) -> None:
        model, x = ConvHead(), torch.randn(N, 3, 6, 6)
        model.flat = flat
        found = find(model, head, x)
        assert found.name == "head"
        assert (found.penultimate.shape, found.logits.shape) == ((N, 8), (N, CLASSES))
        model.head = nn.Identity()
        torch.testing.assert_close(found.penultimate, model(x).flatten(1))

    def test_on_maps_of_several_positions_it_is_refused(self) -> None:
        model, x = ConvHead(), torch.randn(N, 3, 6, 6)
        model.pools = model.flat = False
        with pytest.raises(HeadError, match="one vector for each sample: pool tokens or positions"):
            find(model, x=x)
        with pytest.raises(HeadError, match=r"\[6, 8, 4, 4\] -> \[6, 4, 4, 4\]; .*pool tokens"):
            find(model, "head", x)

    def test_linear_layers_come_first_where_no_output_tells(self) -> None:
        class Both(ConvHead):
            def __init__(self) -> None:
                super().__init__()
                self.head = nn.Linear(8, CLASSES)

            def forward(self, x: Tensor) -> Tensor:
                gate = self.expand(self.reduce(self.body(x).mean((2, 3), keepdim=True)))
                return 3 * self.head(gate.flatten(1))

        with pytest.warns(UserWarning, match="took 'head' .* the only linear layer that ran"):
            assert find(Both(), x=torch.randn(N, 3, 6, 6)).name == "head"


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

    def test_one_output_for_each_token_of_a_deep_model(self) -> None:
        model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, CLASSES))
        for finish in (nn.Identity(), lambda logits: {"logits": logits}):
            with pytest.raises(
                HeadError,
                match=r"returned \[6, 3, 4\].*one vector for each sample: pool tokens.*'0' \[6, 3",
            ):
                find_head(model, lambda finish=finish: finish(model(torch.randn(N, 3, 5))))

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

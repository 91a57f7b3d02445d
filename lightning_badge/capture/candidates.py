"""Lists the layers of a model that may be its classifier head, by name."""

from collections.abc import Mapping
from difflib import get_close_matches

from torch import nn

from lightning_badge.capture.layer_calls import CONVOLUTIONS
from lightning_badge.exceptions import HeadError

LISTED = 12


def candidate_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the layers of a model that may be its head, by name, in the model's order.

    These are linear layers and pointwise convolutions. If an adapter wraps such a layer, as
    in the package ``peft``, the adapter is the candidate, because the model uses its output.

    Example:
        >>> list(candidate_layers(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))))
        ['0', '2']
    """
    named = {plain_name(name): module for name, module in model.named_modules()}
    adapters = [name for name, module in named.items() if adapted_layer(module) is not None]
    return {
        name: module
        for name, module in named.items()
        if (name in adapters or _may_be_head(module)) and adapter_of(name, adapters) is None
    }


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the candidates that are not convolutions, by name."""
    return {
        name: module
        for name, module in candidate_layers(model).items()
        if not isinstance(innermost(module), CONVOLUTIONS)
    }


def module_named(model: nn.Module, name: str) -> nn.Module:
    """Returns the module that the user named as the head.

    Raises:
        HeadError: No module has this name, or it is a part of an adapter.
    """
    # with duplicates: a layer that has two names may be named by either
    named = model.named_modules(remove_duplicate=False)
    modules: dict[str, nn.Module] = {plain_name(key): module for key, module in named}
    plain = plain_name(name)
    if plain not in modules:
        close = get_close_matches(name, modules, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise HeadError(
            f"head={name!r}: no module of the model has this name; it has "
            f"{list_layers(model)}{hint}"
        )
    adapters = [key for key, module in modules.items() if adapted_layer(module) is not None]
    adapter = adapter_of(plain, adapters)
    if adapter is not None:
        raise HeadError(
            f"head={name!r} is a part of the adapter {adapter!r}, and the model uses the adapter's "
            f"output; pass head={adapter!r}"
        )
    return modules[plain]


def adapted_layer(module: nn.Module) -> nn.Module | None:
    """Returns the layer that an adapter wraps; None if the module is not an adapter."""
    base = getattr(module, "base_layer", None)
    is_adapter = isinstance(base, nn.Module) and _may_be_head(innermost(base))
    return base if is_adapter else None


def innermost(module: nn.Module) -> nn.Module:
    """Returns the layer inside all adapters; the module itself if it is not an adapter."""
    base = getattr(module, "base_layer", None)
    return innermost(base) if isinstance(base, nn.Module) else module


def adapter_of(name: str, adapters: list[str]) -> str | None:
    """Returns the outermost adapter that contains the named module."""
    around = [adapter for adapter in adapters if name.startswith(f"{adapter}.")]
    return min(around, key=len, default=None)


def plain_name(name: str) -> str:
    """Returns a module's name without the levels that ``torch.compile`` inserts."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def list_layers(model: nn.Module) -> str:
    """Returns a text that lists the linear layers of a model."""
    layers = last_few([repr(name) for name in linear_layers(model)])
    return f"the linear layers {layers}" if layers else "no linear layer"


def last_few(layers: list[str]) -> str:
    """Returns a text with the last names of a list and the number of names before them."""
    before = len(layers) - LISTED
    more = f" ({before} more before them)" if before > 0 else ""
    return ", ".join(layers[-LISTED:]) + more


def is_convolution(name: str, layers: Mapping[str, nn.Module]) -> bool:
    """Whether a candidate is a pointwise convolution."""
    return isinstance(innermost(layers[name]), CONVOLUTIONS)


def _may_be_head(module: nn.Module) -> bool:
    if isinstance(module, CONVOLUTIONS):
        return module.groups == 1 and set(module.kernel_size) == {1}
    return isinstance(module, nn.Linear)

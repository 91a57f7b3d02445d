"""Which layer of a model is its classifier head: told from one forward pass.

The candidates are the linear layers that run. Where several do, what the model returns decides:
logits, or probabilities made of them, that are the output of one candidate. The logits are always
taken from that layer's own output, never from what the model returned.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge.capture.layer_calls import LayerCall, outermost_results, record_calls
from lightning_badge.exceptions import HeadError

# What models make of their logits before they return them.
_LINKS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda logits: logits,
    partial(functional.log_softmax, dim=1),
    partial(functional.softmax, dim=1),
    torch.sigmoid,
    functional.logsigmoid,
)


@dataclass(frozen=True)
class Head:
    """The classifier head, and what passed through it in the forward pass that told.

    Attributes:
        name: Its name in the model, without the prefixes of ``torch.compile``.
        module: The layer.
        penultimate: What entered it, ``[n, h]``.
        logits: What left it, ``[n, c]``.
    """

    name: str
    module: nn.Module
    penultimate: Tensor
    logits: Tensor


def find_head(model: nn.Module, run_once: Callable[[], Any], head: str | None = None) -> Head:
    """Tells which layer is the classifier head.

    Args:
        model: The model.
        run_once: Runs its forward pass once, on any batch, and gives what it returned: a tensor,
            a tuple or list that begins with one, or a dict or object with ``logits``. Where that
            tells nothing, as predicted classes do, what the networks inside returned decides.
        head: Name of the head, such as ``model.fc``, where the caller knows it: any module that
            maps ``[n, h]`` to ``[n, c]``.

    Raises:
        HeadError: No such layer, none that ran, several that could be the head, one that ran more
            than once or that does not map ``[n, h]`` to ``[n, c]``. The candidates are listed.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
        >>> find_head(model, lambda: model(torch.ones(5, 4))).name
        '2'
    """
    if head is not None:
        module = _module_named(model, head)
        with record_calls({head: module}) as calls:
            run_once()
        return _the_head(head, module, calls, f"the model has {_list_layers(model)}")
    layers = _linear_layers(model)
    with record_calls(layers) as calls, outermost_results(model) as results:
        returned = run_once()
    explaining = _first_explanation(calls, [returned, *reversed(results)])
    name = _choose(calls, explaining, model)
    found = _the_head(name, layers[name], calls, f"linear layers that ran: {_list_calls(calls)}")
    if not explaining:
        warn(
            f"took {name!r} for the classifier head, the only linear layer that ran, though the "
            f"model returned something else than its output; head={name!r} confirms it",
            stacklevel=2,
        )
    return found


def _choose(calls: list[LayerCall], explaining: list[str], model: nn.Module) -> str:
    candidates = explaining or list(dict.fromkeys(call.layer for call in calls))
    if not candidates:
        raise HeadError(
            "expected a linear layer to run in the forward pass as the classifier head, but none "
            f"did; the model has {_list_layers(model)}; name another kind of layer with head=..."
        )
    if len(candidates) > 1:
        found = " and also of ".join(map(repr, explaining)) or "none of them"
        raise HeadError(
            f"several linear layers ran: {_list_calls(calls)}; what the model returned is the "
            f"output of {found}; name the classifier head with head=..."
        )
    return candidates[0]


def _first_explanation(calls: list[LayerCall], results: Iterable[Any]) -> list[str]:
    """Returns the layers whose output is the first of the results that is any layer's output."""
    explanations = (_explaining(calls, _returned_tensors(result)) for result in results)
    return next(filter(None, explanations), [])


def _explaining(calls: list[LayerCall], returned: list[Tensor]) -> list[str]:
    names = dict.fromkeys(
        call.layer
        for call in calls
        if call.left is not None and any(_is_made_of(tensor, call.left) for tensor in returned)
    )
    # Where one linear layer wraps another, as adapters do, the outer one is the layer that counts.
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _returned_tensors(result: Any) -> list[Tensor]:
    """Returns what may be logits in a model's result: one tensor, or all those of a dict."""
    if isinstance(result, Tensor):
        return [result]
    is_dict = isinstance(result, Mapping)
    logits = result.get("logits") if is_dict else getattr(result, "logits", None)
    if isinstance(logits, Tensor):
        return [logits]
    if is_dict:
        return [value for value in result.values() if isinstance(value, Tensor)]
    return _returned_tensors(result[0]) if isinstance(result, tuple | list) and result else []


def _is_made_of(returned: Tensor, logits: Tensor) -> bool:
    """Whether a tensor is these logits or their (log) probabilities, also when reshaped."""
    if returned.numel() != logits.numel() or not returned.is_floating_point():
        return False
    is_half = min(returned.dtype.itemsize, logits.dtype.itemsize) < torch.float32.itemsize
    rtol, atol = (1e-2, 1e-4) if is_half else (1e-4, 1e-6)
    # On the CPU: not every device has float64, and some models return what they moved there.
    seen, exact = returned.detach().cpu().double().reshape(logits.shape), logits.cpu().double()
    return any(torch.allclose(link(exact), seen, rtol, atol, equal_nan=True) for link in _LINKS)


def _the_head(name: str, module: nn.Module, calls: list[LayerCall], candidates: str) -> Head:
    own = [call for call in calls if call.layer == name]
    if len(own) != 1:
        raise HeadError(
            f"head {name!r}: expected to run once in the forward pass, ran {len(own)} times; "
            f"{candidates}; name another layer with head=..."
        )
    call = own[0]
    if call.entered is None or call.left is None or len(call.entered) != len(call.left):
        raise HeadError(
            f"head {name!r}: expected [n, h] -> [n, c], one row for each sample, got "
            f"{call.shapes}; {candidates}; name another layer with head=..."
        )
    return Head(_plain(name), module, call.entered, call.left)


def _linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    named = model.named_modules()
    return {_plain(name): module for name, module in named if isinstance(module, nn.Linear)}


def _module_named(model: nn.Module, name: str) -> nn.Module:
    # Duplicates too: a layer that two names share may be asked for by either.
    named = model.named_modules(remove_duplicate=False)
    modules: dict[str, nn.Module] = {_plain(key): module for key, module in named}
    if _plain(name) not in modules:
        close = get_close_matches(name, modules, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise HeadError(
            f"head={name!r}: no module of the model has this name; it has "
            f"{_list_layers(model)}{hint}"
        )
    return modules[_plain(name)]


def _plain(name: str) -> str:
    """Returns a module's name without the levels that ``torch.compile`` puts in."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _list_layers(model: nn.Module) -> str:
    layers = _last_few([repr(name) for name in _linear_layers(model)])
    return f"the linear layers {layers}" if layers else "no linear layer"


def _list_calls(calls: list[LayerCall]) -> str:
    times = Counter((call.layer, call.shapes) for call in calls)
    return _last_few(
        [
            f"{layer!r} {shapes}" + (f" ({count} times)" if count > 1 else "")
            for (layer, shapes), count in times.items()
        ]
    )


def _last_few(layers: list[str], at_most: int = 12) -> str:
    # The last ones: heads stand at the end of a model.
    before = len(layers) - at_most
    more = f" ({before} more before them)" if before > 0 else ""
    return ", ".join(layers[-at_most:]) + more

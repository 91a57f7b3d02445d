"""Finds the classifier head of a model in one forward pass.

The candidates are the linear layers that run, and the 1x1 convolutions that run on a single
position. The head is the candidate whose output the model returns, as logits or as probabilities
computed from them. The logits are always the output of that layer, not the returned value.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_badge.capture.candidates import (
    candidate_layers,
    is_convolution,
    last_few,
    list_layers,
    module_named,
    plain_name,
)
from lightning_badge.capture.layer_calls import LayerCall, outermost_results, record_calls
from lightning_badge.capture.linearity import reject_nonlinear
from lightning_badge.exceptions import HeadError

# functions that models apply to their logits before they return them
_LINKS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda logits: logits,
    partial(functional.log_softmax, dim=1),
    partial(functional.softmax, dim=1),
    torch.sigmoid,
    functional.logsigmoid,
)


_POOL_FIRST = (
    "a gradient embedding needs one vector for each sample: pool tokens or positions, by their "
    "mean for instance, before the head"
)


@dataclass(frozen=True)
class Head:
    """The classifier head, with its input and output in the forward pass that found it.

    Attributes:
        name: Its name in the model, without the prefixes of ``torch.compile``.
        module: The layer.
        penultimate: Its input, ``[n, h]``.
        logits: Its output, ``[n, c]``.
    """

    name: str
    module: nn.Module
    penultimate: Tensor
    logits: Tensor


def find_head(model: nn.Module, run_once: Callable[[], Any], head: str | None = None) -> Head:
    """Finds the classifier head, and checks that it is linear.

    Args:
        model: The model.
        run_once: Runs its forward pass once, on any batch, and returns what the model returned: a
            tensor, a tuple or list that begins with one, or a dict or object with ``logits``. If
            that does not identify the head, as with predicted classes, the results of the networks
            inside the model are used.
        head: Name of the head, such as ``model.fc``, if known: any affine module that maps ``[n,
            h]`` to ``[n, c]``.

    Raises:
        HeadError: No such layer, none that ran, several that could be the head, one that ran more
            than once, that does not map ``[n, h]`` to ``[n, c]``, that is not linear, or whose
            output has another width than the model's. The candidates are listed.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
        >>> find_head(model, lambda: model(torch.ones(5, 4))).name
        '2'
    """
    if head is not None:
        module = module_named(model, head)
        with record_calls({head: module}) as calls:
            run_once()
        found = _the_head(head, module, calls, f"the model has {list_layers(model)}")
    else:
        found = _found_by_output(model, run_once)
    reject_nonlinear(found.name, found.module, found.penultimate, found.logits)
    return found


def _found_by_output(model: nn.Module, run_once: Callable[[], Any]) -> Head:
    layers = candidate_layers(model)
    with record_calls(layers) as calls, outermost_results(model) as results:
        returned = run_once()
    # A convolution that runs on a map of several positions is not a head.
    calls = [
        call for call in calls if call.left is not None or not is_convolution(call.layer, layers)
    ]
    given = [returned, *reversed(results)]
    explaining = _first_explanation(calls, given)
    linear = [call for call in calls if not is_convolution(call.layer, layers)]
    name = _choose(linear or calls, explaining, given, model)
    found = _the_head(name, layers[name], calls, f"linear layers that ran: {_list_calls(calls)}")
    if not explaining:
        _reject_other_width(found, given)
        warn(
            f"took {name!r} for the classifier head, the only linear layer that ran, though the "
            f"model returned something else than its output; head={name!r} confirms it",
            stacklevel=3,
        )
    return found


def _choose(
    calls: list[LayerCall], explaining: list[str], given: list[Any], model: nn.Module
) -> str:
    candidates = explaining or list(dict.fromkeys(call.layer for call in calls))
    if not candidates:
        raise HeadError(
            "expected a linear layer to run in the forward pass as the classifier head, but none "
            f"did; the model has {list_layers(model)}; name another kind of layer with head=..., "
            f"which must be linear; {_POOL_FIRST}"
        )
    if len(candidates) > 1:
        several = f"several linear layers ran: {_list_calls(calls)}"
        if not explaining and (shape := _shape_of_many(given)):
            raise HeadError(f"the model returned {shape} for a batch; {_POOL_FIRST}; {several}")
        found = " and also of ".join(map(repr, explaining)) or "none of them"
        raise HeadError(
            f"{several}; what the model returned is the output of {found}; name the classifier "
            "head with head=..."
        )
    return candidates[0]


def _shape_of_many(given: list[Any]) -> list[int] | None:
    """Returns the shape of a result with several vectors per sample; None if there is none."""
    for result in given:
        tensors = [one for one in _returned_tensors(result) if one.is_floating_point()]
        if any(one.ndim == 2 for one in tensors):
            return None
        if many := [one for one in tensors if one.ndim > 2 and one.shape[2:].numel() > 1]:
            return list(many[0].shape)
    return None


def _reject_other_width(head: Head, given: list[Any]) -> None:
    n, c = head.logits.shape
    for result in given:
        widths = {
            one.shape[1]
            for one in _returned_tensors(result)
            if one.is_floating_point() and one.ndim > 1 and len(one) == n
        }
        if c in widths:
            return
        if widths:
            returned = " and ".join(f"[{n}, {width}]" for width in sorted(widths))
            raise HeadError(
                f"{head.name!r} is the only linear layer that ran, but it gives [{n}, {c}] and the "
                f"model returned {returned}, so it is not the classifier head; expected a model "
                "that ends in a linear layer; name another layer with head=..."
            )


def _first_explanation(calls: list[LayerCall], results: Iterable[Any]) -> list[str]:
    """Returns the layers whose output equals the first result that equals any layer's output."""
    explanations = (_explaining(calls, _returned_tensors(result)) for result in results)
    return next(filter(None, explanations), [])


def _explaining(calls: list[LayerCall], returned: list[Tensor]) -> list[str]:
    names = dict.fromkeys(
        call.layer
        for call in calls
        if call.left is not None and any(_is_made_of(tensor, call.left) for tensor in returned)
    )
    # If one linear layer wraps another, as adapters do, the outer one is the head.
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _returned_tensors(result: Any) -> list[Tensor]:
    """Returns the tensors of a model's result that may be logits."""
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
    """Whether a tensor equals these logits or their (log) probabilities, also reshaped."""
    if returned.numel() != logits.numel() or not returned.is_floating_point():
        return False
    is_half = min(returned.dtype.itemsize, logits.dtype.itemsize) < torch.float32.itemsize
    rtol, atol = (1e-2, 1e-4) if is_half else (1e-4, 1e-6)
    # on the CPU: not every device has float64, and some models return CPU tensors
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
            f"{call.shapes}; {_POOL_FIRST}; {candidates}; name another layer with head=..."
        )
    return Head(plain_name(name), module, call.entered, call.left)


def _list_calls(calls: list[LayerCall]) -> str:
    times = Counter((call.layer, call.shapes) for call in calls)
    return last_few(
        [
            f"{layer!r} {shapes}" + (f" ({count} times)" if count > 1 else "")
            for (layer, shapes), count in times.items()
        ]
    )

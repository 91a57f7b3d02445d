"""Records what enters and leaves the layers of a model while it runs."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class LayerCall(NamedTuple):
    """What entered and left a layer when it ran.

    Attributes:
        layer: The name it was recorded under.
        entered: A copy of its first argument, ``[n, h]``; None where that is no matrix.
        left: A copy of its output, ``[n, c]``; None where that is no matrix.
        shapes: Both in words.
    """

    layer: str
    entered: Tensor | None
    left: Tensor | None
    shapes: str


@contextmanager
def record_calls(layers: Mapping[str, nn.Module]) -> Iterator[list[LayerCall]]:
    """Records every call of some layers for as long as the context is open.

    Compiled models run eagerly meanwhile: in compiled code new hooks would silently never fire.

    Args:
        layers: Whom to record, under the names to record them by.

    Returns:
        A context that gives the list which the calls are appended to, in the order they end.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> with record_calls({"fc": layer}) as calls:
        ...     _ = layer(torch.ones(5, 3))
        >>> [(call.layer, call.shapes) for call in calls]
        [('fc', '[5, 3] -> [5, 2]')]
    """
    calls: list[LayerCall] = []
    with ExitStack() as hooks:
        hooks.enter_context(torch.compiler.set_stance("force_eager"))
        for name, layer in layers.items():
            hook = partial(_record, calls, name)
            hooks.enter_context(layer.register_forward_hook(hook, with_kwargs=True))
        yield calls


@contextmanager
def outermost_results(model: nn.Module) -> Iterator[list[Any]]:
    """Collects what the modules return that no other module of the model called.

    Of ``model(x)`` that is what the model returns; of a method that calls two of its networks,
    what each of the networks returns.
    """
    results: list[Any] = []
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1

    def leave(_module: nn.Module, _args: Any, output: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            results.append(output)

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hooks
            hooks.enter_context(module.register_forward_pre_hook(enter))
            hooks.enter_context(module.register_forward_hook(leave))
        yield results


def _record(
    calls: list[LayerCall],
    name: str,
    _layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
) -> None:
    entered = args[0] if args else next(iter(kwargs.values()), None)
    shapes = f"{_shape(entered)} -> {_shape(output)}"
    calls.append(LayerCall(name, _copy_matrix(entered), _copy_matrix(output), shapes))


def _copy_matrix(value: Any) -> Tensor | None:
    # A copy: models go on to work in place on what they give to a layer or get from it.
    is_matrix = isinstance(value, Tensor) and value.ndim == 2
    return value.detach().clone() if is_matrix else None


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__

"""Records the inputs and outputs of layers while a model runs."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LayerCall(NamedTuple):
    """The input and output of one call of a layer.

    Attributes:
        layer: The name it was recorded under.
        entered: A copy of its first argument, ``[n, h]``; None if that is not a matrix. For a
            convolution a map ``[n, h, 1, 1]`` of a single position counts as a matrix.
        left: A copy of its output, ``[n, c]``; None if that is not a matrix.
        shapes: Both shapes as text.
    """

    layer: str
    entered: Tensor | None
    left: Tensor | None
    shapes: str


@contextmanager
def record_calls(layers: Mapping[str, nn.Module]) -> Iterator[list[LayerCall]]:
    """Records every call of some layers for as long as the context is open.

    Compiled models run eagerly inside the context, because new hooks never fire in compiled code.

    Args:
        layers: The layers to record, by the names to record them under.

    Returns:
        A context that yields a list, to which each call is appended when it ends.

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
    """Collects the results of modules that no other module of the model called.

    For ``model(x)`` that is the model's result; for a method that calls two of its networks, the
    result of each network.
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
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
) -> None:
    entered = args[0] if args else next(iter(kwargs.values()), None)
    shapes = f"{_shape(entered)} -> {_shape(output)}"
    are_maps = isinstance(layer, CONVOLUTIONS)
    left = _copy_matrix(output, are_maps)
    calls.append(LayerCall(name, _copy_matrix(entered, are_maps), left, shapes))


def _copy_matrix(value: Any, is_map: bool) -> Tensor | None:
    if not isinstance(value, Tensor):
        return None
    if is_map and value.ndim > 2 and value.shape[2:].numel() == 1:
        value = value.flatten(1)
    # A copy, because models work in place on the inputs and outputs of their layers.
    return value.detach().clone() if value.ndim == 2 else None


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__

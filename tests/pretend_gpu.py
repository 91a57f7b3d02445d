"""Tensors that pretend to be on a GPU but compute on the CPU.

Operations across devices raise an error, as on a GPU. Operations that would force a host sync are
counted: all that make a value available to the host. So tests without a GPU can count the host
syncs of a code path and find tensors created on the wrong device.

The name of the device cannot be unregistered from torch, so use this in a separate process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "pretend"
# Operations that force a host sync: values read by Python, and sizes that depend on values.
SYNCS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "isin"}


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16]


class OnGPU(Tensor):
    """A CPU tensor that reports the pretended device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGPU:
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, None)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"OnGPU({self.inner})"


class _Pretend(TorchDispatchMode):
    """Creates tensors for the pretended GPU as `OnGPU`, and counts host syncs."""

    def __init__(self, syncs: Counter[str]) -> None:
        super().__init__()
        self.syncs = syncs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self.syncs)


def _run(func: Any, args: Any, kwargs: Any, syncs: Counter[str] | None) -> Any:
    leaves = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    ours = [leaf for leaf in leaves if isinstance(leaf, OnGPU)]
    name = func.overloadpacket.__name__
    target = kwargs.get("device")
    moves = name in ("_to_copy", "copy_")
    if ours and not moves:
        on_cpu = [leaf for leaf in leaves if not isinstance(leaf, OnGPU) and leaf.ndim]
        # A real GPU accepts indices on the host and copies them.
        if on_cpu and name not in ("index", "index_put_", "index_put"):
            raise RuntimeError(f"{name}: expected all tensors on the same device")
    to_gpu = torch.device(target).type == NAME if target is not None else bool(ours)
    if syncs is not None and ours:
        to_host = name == "_to_copy" and not to_gpu
        to_host |= name == "copy_" and not isinstance(args[0], OnGPU)
        by_mask = name in ("index", "index_put_") and any(
            isinstance(at, Tensor) and at.dtype == torch.bool for at in args[1]
        )
        if name in SYNCS or to_host or by_mask:
            syncs[name] += 1
    if target is not None and to_gpu:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = tree_map_only(OnGPU, lambda leaf: leaf.inner, (args, kwargs))
    result = func(*plain[0], **plain[1])
    if name.endswith("_") and not name.startswith("_") and args and isinstance(args[0], OnGPU):
        return args[0]
    if "out" in kwargs and isinstance(kwargs["out"], OnGPU):
        return kwargs["out"]
    if to_gpu:
        return tree_map(lambda leaf: OnGPU(leaf) if isinstance(leaf, Tensor) else leaf, result)
    return result


@contextmanager
def pretend_gpu() -> Iterator[Counter[str]]:
    """Pretends that there is a GPU; yields a counter of the host syncs by operation."""
    syncs: Counter[str] = Counter()
    _setup_privateuseone_for_python_backend(NAME, _Module())
    with _Pretend(syncs):
        yield syncs


def on_gpu(tensor: Tensor) -> Tensor:
    """Returns the tensor as one on the pretended GPU."""
    return OnGPU(tensor)

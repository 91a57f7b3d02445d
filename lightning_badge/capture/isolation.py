"""Contexts that restore random states and modes, also after an exception."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched_random_state(*generators: torch.Generator) -> Iterator[None]:
    """Restores every global random state: those of torch, CUDA, numpy and Python.

    Even an unshuffled ``DataLoader`` draws from torch's state, which would change the shuffles of
    the training that continues afterwards.

    Args:
        *generators: Further generators to restore.

    Example:
        >>> seed = torch.initial_seed()
        >>> with untouched_random_state():
        ...     _ = torch.manual_seed(7)
        >>> torch.initial_seed() == seed
        True
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.get_rng_state()
    uses_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if uses_cuda else []
    own_states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if uses_cuda:
            torch.cuda.set_rng_state_all(cuda_states)
        for generator, state in zip(generators, own_states, strict=True):
            generator.set_state(state)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Sets a model to evaluation mode, and restores the mode of every submodule afterwards.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
        >>> with evaluation_mode(model):
        ...     model.training
        False
        >>> [part.training for part in model]
        [True, False]
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        # The attribute, not train(): users override that, for instance to keep layers frozen.
        for part, training in modes:
            part.training = training

"""Factors of random rows, for tests of kernels."""

import torch

from lightning_badge.kernels import Factors


def random_factors(
    n: int, c: int, h: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Factors:
    """Returns ``n`` normally distributed rows of ``c`` classes and width ``h``."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, c, generator=generator).to(dtype)
    return Factors.of(a, torch.randn(n, h, generator=generator).to(dtype))


def small_integers(n: int, c: int, h: int, seed: int = 0, largest: int = 3) -> Factors:
    """Returns rows whose distances all back ends compute exactly, copies among them."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randint(-largest, largest + 1, (n, c), generator=generator).float()
    return Factors.of(a, torch.randint(0, largest + 1, (n, h), generator=generator).float())

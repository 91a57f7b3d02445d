"""The choice of a back end, and the errors of back ends that cannot compute."""

import logging
import re
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from lightning_badge import GradientEmbedding, order
from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import backend as backend_module
from lightning_badge.kernels import registry, triton_tiled
from lightning_badge.kernels.numba_pruned import LEAST_ROWS
from lightning_badge.kernels.registry import backends, check_backend, resolve_backend

INSTALLED = {"numba", "triton"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Pretends that these packages are installed; a test may remove some from the set."""
    packages = set(INSTALLED)
    monkeypatch.setattr(
        backend_module,
        "find_spec",
        lambda name: ModuleSpec(name, None) if name in packages else None,
    )
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setenv("CC", "cc")
    registry._report_once.cache_clear()
    registry._warn_once.cache_clear()
    return packages


def test_every_package_is_an_installable_extra() -> None:
    assert {found.package for found in backends().values()} == {None, *INSTALLED}


def test_auto_chooses_by_device_and_pool_size(installed: set[str]) -> None:
    assert resolve_backend("auto", n=10).name == "torch"
    assert resolve_backend("auto", n=1_000_000).name == "numba"
    assert resolve_backend("auto", "cuda", n=10).name == "triton"
    assert resolve_backend("auto", "mps", n=1_000_000).name == "torch"
    installed.clear()
    assert resolve_backend("auto", n=1_000_000).name == "torch"
    assert resolve_backend("auto", "cuda", n=1_000_000).name == "torch"


def test_auto_logs_once_that_it_uses_triton(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lightning_badge"):
        for _ in range(3):
            resolve_backend("auto", "cuda")
    assert [record.message for record in caplog.records] == [
        "backend='auto': orderings on cuda are computed by triton"
    ]


def test_a_large_pool_without_numba_is_said_once(
    installed: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="lightning_badge")
    resolve_backend("auto", n=1_000_000)
    installed.discard("numba")
    resolve_backend("auto", n=registry.LARGE_POOL - 1)
    resolve_backend("auto", "cuda", n=1_000_000)
    resolve_backend("torch", n=1_000_000)
    assert not caplog.records
    for n in (registry.LARGE_POOL, 1_000_000):
        assert resolve_backend("auto", n=n).name == "torch"
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("numba is not installed, so that torch orders this large pool; without")
    assert f"60,000 rows took {registry.TIMES} times as long" in line
    assert line.endswith('pip install "lightning-badge[numba]"')


def test_herding_says_so_from_the_first_rows_on_that_numba_takes(
    installed: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="lightning_badge")
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator)
    pool = GradientEmbedding.from_logits(draw(LEAST_ROWS, 4), draw(LEAST_ROWS, 3))
    arguments = {"k": 1, "sigma": 0.1, "summands": 10}
    order(pool, "uherding", **arguments)
    installed.discard("numba")
    order(pool.take(slice(1, None)), "uherding", **arguments)
    order(pool, "badge", k=1)
    assert not caplog.records
    for name in ("uherding", "maxherding"):
        order(pool, name, **arguments)
    (line,) = [record.message for record in caplog.records]
    assert "numba is not installed" in line
    assert "herding far longer" in line


def test_the_ratio_is_that_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "speed.md").read_text(encoding="utf-8")
    (ratio,) = re.findall(r"our blocks without numba \| ([0-9.]+)x", page)
    assert round(float(ratio)) == registry.TIMES


def test_triton_refuses_a_torch_built_for_rocm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.3")
    assert resolve_backend("auto", "cuda").name == "torch"
    with pytest.raises(BadgeError, match="built for ROCm; backend='torch' computes anywhere"):
        resolve_backend("triton", "cuda")


def test_errors_say_why_a_back_end_cannot_compute(installed: set[str]) -> None:
    with pytest.raises(BadgeError, match="auto, numba, reference, torch, triton, got 'cuda'"):
        resolve_backend("cuda")
    with pytest.raises(BadgeError, match="'numba' computes on the CPU, but the pool is on cuda"):
        resolve_backend("numba", "cuda")
    with pytest.raises(BadgeError, match="'triton' is for NVIDIA GPUs, but the pool is on cpu"):
        resolve_backend("triton")
    installed.clear()
    with pytest.raises(BadgeError, match=r"pip install 'lightning-badge\[triton\]'"):
        check_backend("triton")
    with pytest.raises(BadgeError, match=r"pip install 'lightning-badge\[numba\]'"):
        resolve_backend("numba")


def test_auto_uses_torch_on_an_old_gpu_or_without_a_compiler(monkeypatch) -> None:
    monkeypatch.delenv("CC")
    monkeypatch.setattr(triton_tiled, "which", lambda name: None)
    assert resolve_backend("auto", "cuda").name == "torch"
    with pytest.raises(BadgeError, match="install gcc or set CC; backend='torch'"):
        resolve_backend("triton", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert resolve_backend("auto", "cuda").name == "torch"
    with pytest.raises(BadgeError, match="capability 8.0 or higher, and cuda has 7.5; backend="):
        resolve_backend("triton", "cuda")


def test_triton_refuses_float64_embeddings() -> None:
    assert resolve_backend("auto", "cuda", dtype=torch.float64).name == "torch"
    with pytest.raises(BadgeError, match="in float32, but the embeddings are float64"):
        resolve_backend("triton", "cuda", dtype=torch.float64)


def test_interpreted_triton_computes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert resolve_backend("triton").name == "triton"
    assert resolve_backend("auto", n=10).name == "torch"

"""numba's cache of machine code: faults of its files cost time only."""

import importlib
import logging
import os
import resource
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lightning_badge"

numba = pytest.importorskip("numba")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    from lightning_badge.kernels.numba_pruned import jit

    jit._said.clear()
    with caplog.at_level(logging.WARNING, logger="lightning_badge"):
        yield lambda: [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("lightning_badge")
            and "compiles its kernels" not in record.getMessage()
        ]
    jit._said.clear()


def doubled(folder: Path) -> Any:
    """Returns a newly compiled function, as a new process imports it."""
    from lightning_badge.kernels.numba_pruned.jit import jit

    path = folder / "doubled.py"
    path.write_text("def doubled(x):\n    return 2 * x\n")
    module = types.ModuleType("doubled")
    module.__file__ = str(path)
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    return jit(module.doubled)


def test_machine_code_is_kept(tmp_path: Path, cache_folder: Path, messages: Any) -> None:
    first, second = doubled(tmp_path), doubled(tmp_path)
    assert first(4) == second(4) == 8
    assert (sum(first.stats.cache_misses.values()), sum(second.stats.cache_hits.values())) == (1, 1)
    assert not messages()


def test_only_a_first_compilation_is_said_and_once(
    tmp_path: Path, cache_folder: Path, messages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from lightning_badge.kernels.numba_pruned import jit

    jit.jit(jit._successor.py_func)(1)  # takes no seconds
    assert not caplog.messages
    function = doubled(tmp_path)
    for number in (4, 2.5):
        function(number)
    (line,) = caplog.messages
    assert line.startswith("numba compiles its kernels for the first ordering on this machine")
    assert str(cache_folder) in line
    jit._said.clear()
    doubled(tmp_path)(4)
    assert caplog.messages == [line]


def test_a_change_of_another_file_of_the_folder_is_noticed(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a function calls is compiled into it."""
    from lightning_badge.kernels.numba_pruned import jit

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outer.py").write_text(
        "from lightning_badge.kernels.numba_pruned.jit import jit\n"
        "from inner import inner\n@jit\ndef outer(x):\n    return inner(x) + 1\n"
    )
    for factor in (2, 3):
        (tmp_path / "inner.py").write_text(
            "from lightning_badge.kernels.numba_pruned.jit import jit\n"
            f"@jit\ndef inner(x):\n    return {factor} * x\n"
        )
        jit._digest_of.cache_clear()
        for name in ("outer", "inner"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        with monkeypatch.context() as context:
            context.setattr(sys, "dont_write_bytecode", True)
            outer = importlib.import_module("outer").outer
        assert outer(10) == factor * 10 + 1
    for name in ("outer", "inner"):
        del sys.modules[name]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_torn_file_is_replaced(
    suffix: str, size: int, tmp_path: Path, cache_folder: Path, messages: Any
) -> None:
    doubled(tmp_path)(4)
    (torn,) = cache_folder.rglob(f"*{suffix}")
    os.truncate(torn, size)
    assert doubled(tmp_path)(4) == 8
    assert len(messages()) == 1
    assert str(torn.parent) in messages()[0]
    healed = doubled(tmp_path)
    assert healed(4) == 8
    assert sum(healed.stats.cache_hits.values()) == 1


def test_a_torn_file_that_cannot_be_replaced_is_passed_by(
    tmp_path: Path, cache_folder: Path, messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubled(tmp_path)(4)
    (torn,) = cache_folder.rglob("*.nbi")
    os.truncate(torn, 1)
    again = doubled(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    assert again(4) == 8
    assert len(messages()) == 1
    assert "cannot be replaced" in messages()[0]


def test_a_full_disk_keeps_nothing(tmp_path: Path, cache_folder: Path, messages: Any) -> None:
    function = doubled(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert function(4) == 8
        assert function(2.5) == 5.0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(messages()) == 1
    assert "File too large" in messages()[0]
    assert not list(cache_folder.rglob("*.nbc"))
    assert not list(cache_folder.rglob("*.tmp*"))


def without_cache(folder: Path) -> dict[str, str]:
    """Copies the package to where no cache can be written; returns the environment of a process."""
    folder.mkdir()
    blocked = folder / "blocked"
    blocked.touch()  # root may write to any folder, but not into a file
    copy = folder / "lightning_badge"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "kernels" / "numba_pruned" / "__pycache__").touch()
    inside = {"HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"}
    return {**os.environ, "PYTHONPATH": str(folder), **dict.fromkeys(inside, f"{blocked}/x")}


def run_without_cache(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,  # python -c imports from there first
        env=without_cache(folder / "install"),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_an_install_without_any_writable_folder(tmp_path: Path) -> None:
    code = (
        "from lightning_badge.kernels.registry import resolve_backend; "
        "print(resolve_backend('auto', n=5000).name)"
    )
    ended = run_without_cache(code, tmp_path)
    assert ended.stdout == "numba\n", ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "no locator available" in ended.stderr


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["badge", "maxherding"])
def test_an_ordering_where_no_cache_can_be_written(strategy: str, tmp_path: Path) -> None:
    code = (
        "import torch; from lightning_badge import GradientEmbedding, order; "
        "torch.manual_seed(0); rows = torch.rand(5000, 8), torch.randn(5000, 4); "
        f"order(GradientEmbedding.from_logits(*rows), {strategy!r}, k=20, backend='numba')"
    )
    ended = run_without_cache(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr.splitlines()) == 1

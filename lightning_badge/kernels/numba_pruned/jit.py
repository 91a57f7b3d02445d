"""Compilation by numba, with a cache of machine code that may fail without stopping anything.

numba itself raises an exception if no folder for its cache can be written, if the disk is full, or
if a file of the cache was torn by a power failure. Here such a fault costs time only: damaged files
are replaced, and where nothing can be kept each process compiles anew.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.options import DefaultOptions

_F = TypeVar("_F", bound=Callable[..., Any])
_LOG = logging.getLogger(__name__)
_said: set[str] = set()


# Of functions inside loops: they are inlined, a division is not tested for 0, and references to
# arrays are not counted. Together that takes a third off a kernel. Not every version of numba has
# the first option, and the name of the last one is private to it.
_INNER: dict[str, Any] = {"error_model": "numpy"} | {
    name: value
    for name, value in {"forceinline": True, "_nrt": False}.items()
    if hasattr(DefaultOptions, name)
}
# Sums may be reordered; otherwise they do not vectorize.
_REORDERED: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}


def jit(function: _F) -> _F:
    """Compiles a function on its first call; the machine code is cached on disk if possible."""
    return cast(_F, _cached(numba.njit(nogil=True)(function)))


def jit_sum(function: _F) -> _F:
    """Like `jit`, but sums may be reordered."""
    return cast(_F, _cached(numba.njit(nogil=True, **_REORDERED)(function)))


def jit_inner(function: _F) -> _F:
    """Like `jit`, for functions inside loops that make no array, only slices of arrays.

    A division by 0 in them gives what IEEE 754 says.
    """
    return cast(_F, _cached(numba.njit(nogil=True, **_INNER)(function)))


def jit_inner_sum(function: _F) -> _F:
    """Like `jit_inner`, but sums may be reordered."""
    return cast(_F, _cached(numba.njit(nogil=True, **_INNER, **_REORDERED)(function)))


def _cached(dispatcher: Any) -> Any:
    try:
        # What dispatcher.enable_caching() does, with another class.
        dispatcher._cache = ForgivingCache(dispatcher.py_func)
    except Exception as error:  # numba raises RuntimeError, file systems OSError
        _tell_uncached(_reason(error))
    return dispatcher


class ForgivingCache(FunctionCache):  # type: ignore[misc] # numba has no types
    """The cache of one function, which counts as empty where it cannot be read or written.

    It also counts as empty after a change of any file beside that of the function: numba itself
    notices changes of this one file only, and would go on to use what was compiled with the old
    functions of the others.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder = Path(function.__code__.co_filename).parent
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _digest_of(folder))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns the machine code for a signature; None if it has to be compiled."""
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # unpickling a torn file raises exceptions of any class
            self._start_anew(error)
        if found is None and self._py_func.__name__ != _successor.__name__:
            _tell_compiling(str(self.cache_path))
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps the machine code for a signature, if that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self.disable()
            _tell_uncached(_reason(error))

    def _start_anew(self, error: Exception) -> None:
        try:
            self.flush()  # else the damaged index is read again when code is saved
        except OSError:
            self.disable()
            _tell_uncached(f"damaged files in {self.cache_path} cannot be replaced")
        else:
            _tell_damaged(str(self.cache_path), type(error).__name__)


@cache
def _digest_of(folder: Path) -> str:
    """Returns a digest of all source files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _tell_damaged(folder: str, kind: str) -> None:
    if _once("damaged"):
        _LOG.warning("numba's cache in %s was damaged (%s) and is made anew", folder, kind)


def _tell_uncached(reason: str) -> None:
    if _once("uncached"):
        _LOG.warning(
            "numba keeps no compiled code (%s), so that each process compiles for some seconds; "
            "NUMBA_CACHE_DIR may name a folder that can be written",
            reason,
        )


def _tell_compiling(folder: str) -> None:
    is_first_process = os.environ.get("LOCAL_RANK", "0") == "0"
    if is_first_process and "uncached" not in _said and _once("compiling"):
        _LOG.warning(
            "numba compiles its kernels for the first ordering on this machine, which takes some "
            "tens of seconds; later ones find them in %s",
            folder,
        )


def _once(what: str) -> bool:
    """Returns whether something is said for the first time in this process."""
    is_first = what not in _said
    _said.add(what)
    return is_first


def try_out() -> None:
    """Compiles and calls a small function, to find out whether numba works on this machine."""
    if _successor(1) != 2:
        raise RuntimeError("1 + 1 is not 2")


@jit
def _successor(number: Any) -> Any:
    return number + 1

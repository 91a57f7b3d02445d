"""Sample ids: the stable keys under which everything public speaks of samples.

Ids are all ``int`` or all ``str``. Inside the package they travel as one-dimensional numpy arrays:
``int64``, or ``object`` that holds Python ``str``, so that one long id costs its own length only.
Row numbers of tensors at hand are called positions and never leave ``ordering/``.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError, LabelError

SampleId: TypeAlias = int | str
SampleIds: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.object_]

_LONGEST_NAME = 80
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def as_sample_ids(
    ids: Iterable[Any], *, unique: bool = True, error: type[BadgeError] = LabelError
) -> SampleIds:
    """Returns ids as an array, or says what is wrong with them.

    Args:
        ids: Any iterable of ids: list, numpy array, integer tensor, pyarrow array.
        unique: Whether a repeated id is an error.
        error: What to raise.

    Returns:
        An array ``[n]`` of dtype ``int64``, or ``object`` that holds ``str``; ``int64`` where there
        are no ids.

    Raises:
        BadgeError: Ids that are neither all int nor all str, repeated ones, or text that UTF-8
            cannot encode, which no file could hold.

    Example:
        >>> as_sample_ids(["b", "a"]).tolist()
        ['b', 'a']
    """
    array: SampleIds
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and (ids.dtype == np.int64 or _is_text(ids)):
        array = ids
    else:
        array = _from_items(ids, error)
    if is_str(array) and (lone := _with_lone_surrogates(array.tolist())):
        raise error(
            f"sample ids: expected text that UTF-8 can encode, got {name_ids(lone)}; "
            "replace the lone surrogates"
        )
    if unique and (repeated := repeated_ids(array)):
        raise error(f"sample ids: expected each once, but {name_ids(repeated)} came more than once")
    return array


def _is_text(ids: npt.NDArray[Any]) -> bool:
    return ids.dtype == np.object_ and set(map(type, ids.tolist())) == {str}


def _from_items(ids: Iterable[Any], error: type[BadgeError]) -> SampleIds:
    plain: Any = ids
    for method in ("tolist", "to_pylist"):
        if hasattr(ids, method):
            plain = getattr(ids, method)()
            break
    flat = isinstance(plain, Iterable) and not isinstance(plain, str)
    plain = list(plain) if flat else []
    if not flat or any(isinstance(item, list) for item in plain):
        raise error(f"sample ids: expected a flat sequence such as a list, got {ids!r:.60}")
    kinds = {_kind(item) for item in plain}
    if not kinds <= {"int"} and not kinds <= {"str"}:
        raise error(
            f"sample ids: expected all int or all str, got {', '.join(sorted(kinds))}; "
            "convert them to one type"
        )
    if kinds == {"str"}:
        # Of a subclass, such as numpy.str_, the text alone.
        return np.array([str.__str__(item) for item in plain], dtype=np.object_)
    return _as_int64(np.array(plain, dtype=np.object_), error)


def _as_int64(ids: npt.NDArray[Any], error: type[BadgeError]) -> npt.NDArray[np.int64]:
    try:
        return ids.astype(np.int64)
    except OverflowError:
        raise error("sample ids: expected integers below 2**63; pass larger ones as str") from None


def _kind(item: object) -> str:
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return "int"
    return "str" if isinstance(item, str) else type(item).__name__


def _with_lone_surrogates(texts: list[str]) -> list[str]:
    if all(map(str.isascii, texts)):
        return []
    return list(filter(_LONE_SURROGATE.search, texts))


def is_str(ids: SampleIds) -> bool:
    """Whether these ids are ``str``, in an array of Python objects or of numpy's text.

    Example:
        >>> is_str(as_sample_ids(["7"])), is_str(as_sample_ids([7]))
        (True, False)
    """
    return ids.dtype.kind in "OU"


def is_in(ids: SampleIds, among: SampleIds) -> npt.NDArray[np.bool_]:
    """Returns which ids ``[k]`` are among others ``[n]``; 7 and ``"7"`` are two ids.

    Example:
        >>> is_in(as_sample_ids(["b", "x"]), as_sample_ids(["a", "b"])).tolist()
        [True, False]
    """
    if is_str(ids) != is_str(among):
        return np.zeros(len(ids), dtype=np.bool_)
    if not is_str(ids):
        return np.isin(ids, among)
    known = set(among.tolist())
    return np.fromiter((item in known for item in ids.tolist()), np.bool_, len(ids))


def positions_of(
    ids: SampleIds,
    among: SampleIds,
    *,
    what: str = "sample ids",
    of: str = "the pool",
    error: type[BadgeError] = LabelError,
) -> npt.NDArray[np.int64]:
    """Returns where each id stands among others.

    Args:
        ids: Which ids, ``[k]``, in any order.
        among: Distinct ids, ``[n]``.
        what: What the error message is about.
        of: What ``among`` holds the ids of, for the error message.
        error: What to raise.

    Returns:
        Positions ``[k]``, such that ``among[positions]`` equals ``ids``.

    Raises:
        BadgeError: Ids that are not in ``among``.

    Example:
        >>> positions_of(as_sample_ids(["c", "a"]), as_sample_ids(["a", "b", "c"])).tolist()
        [2, 0]
    """
    # Only the asked ids become Python objects in a dict: of a large pool they are a small part.
    asked = np.flatnonzero(is_in(among, ids))
    position_of = dict(zip(among[asked].tolist(), asked.tolist(), strict=True))
    listed = ids.tolist()
    if missing := [sample_id for sample_id in listed if sample_id not in position_of]:
        some = f"{len(among)} such as {name_ids(among[:3].tolist())}" if len(among) else "none"
        raise error(f"{what}: expected ids of {of}, got {name_ids(missing)}; there are {some}")
    return np.fromiter((position_of[sample_id] for sample_id in listed), np.int64, len(ids))


def repeated_ids(ids: SampleIds) -> list[SampleId]:
    """Returns the ids that stand in ``ids`` more than once, each once, sorted."""
    if is_str(ids):
        listed: list[str] = ids.tolist()
        if len(set(listed)) == len(listed):
            return []
        return sorted(item for item, count in Counter(listed).items() if count > 1)
    values, counts = np.unique(ids, return_counts=True)
    repeated: list[SampleId] = values[counts > 1].tolist()
    return repeated


def name_ids(ids: Iterable[SampleId], at_most: int = 5) -> str:
    """Returns the first few ids for an error message, and how many more there are.

    A long id is shortened.

    Example:
        >>> name_ids(range(8))
        '0, 1, 2, 3, 4 and 3 more'
    """
    listed: Sequence[SampleId] = list(ids)
    first = ", ".join(_name(sample_id) for sample_id in listed[:at_most])
    more = len(listed) - at_most
    return f"{first} and {more} more" if more > 0 else first


def _name(sample_id: SampleId) -> str:
    name = repr(sample_id)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def fingerprint(ids: SampleIds, *, ordered: bool = False) -> str:
    """Returns a hexadecimal digest of a set of ids, whatever their order, or of a sequence.

    Example:
        >>> fingerprint(np.array([1, 2])) == fingerprint(np.array([2, 1]))
        True
    """
    # The digest goes into files: "U" for str is numpy's name of the arrays that ids were once.
    if is_str(ids):
        names: list[str] = ids.tolist() if ordered else sorted(ids.tolist())
        return _digest("\n".join(map(repr, names)).encode(), b"U")
    return _digest((ids if ordered else np.sort(ids)).astype("<i8").tobytes(), b"i")


def _digest(content: bytes, kind: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16, person=kind).hexdigest()

"""Sample ids: the stable keys that identify samples in the whole public interface.

Ids are all ``int`` or all ``str``. Internally they are one-dimensional numpy arrays of dtype
``int64``, or ``object`` with Python ``str``, in which a long id does not enlarge the others. Row
numbers of tensors are called positions; they are internal to ``ordering/``.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError, LabelError
from lightning_badge.file_limits import ID_LENGTH

SampleId: TypeAlias = int | str
SampleIds: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.object_]

_LONGEST_NAME = 80
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def as_sample_ids(
    ids: Iterable[Any], *, unique: bool = True, error: type[BadgeError] = LabelError
) -> SampleIds:
    """Validates ids and returns them as an array.

    Args:
        ids: Any iterable of ids: list, numpy array, integer tensor, pyarrow array.
        unique: Whether a repeated id is an error.
        error: Exception class to raise.

    Returns:
        An array ``[n]`` of dtype ``int64``, or ``object`` with ``str``; ``int64`` if there are no
        ids.

    Raises:
        BadgeError: Ids that are neither all int nor all str, repeated ids, or text that no file can
            hold, because it is too long or cannot be encoded as UTF-8.

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
    if is_str(array) and (long := [text for text in array.tolist() if len(text) > ID_LENGTH]):
        raise error(
            f"sample ids: expected text of at most {ID_LENGTH:,} characters, got {name_ids(long)}"
        )
    if unique and (repeated := repeated_ids(array)):
        raise error(
            f"sample ids: expected distinct ids, but {name_ids(repeated)} came more than once"
        )
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
        # Subclasses such as numpy.str_ become plain str.
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
    """Returns whether the ids are ``str``, in an array of dtype ``object`` or numpy's ``U``.

    Example:
        >>> is_str(as_sample_ids(["7"])), is_str(as_sample_ids([7]))
        (True, False)
    """
    return ids.dtype.kind in "OU"


def is_in(ids: SampleIds, among: SampleIds) -> npt.NDArray[np.bool_]:
    """Returns which of the ids ``[k]`` occur in ``among`` ``[n]``; 7 and ``"7"`` are different ids.

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
    """Returns the position of each id in ``among``.

    Args:
        ids: Ids to look up, ``[k]``, in any order.
        among: Distinct ids, ``[n]``.
        what: Subject of the error message.
        of: Description of ``among`` for the error message.
        error: Exception class to raise.

    Returns:
        Positions ``[k]``, such that ``among[positions]`` equals ``ids``.

    Raises:
        BadgeError: Ids that are not in ``among``.

    Example:
        >>> positions_of(as_sample_ids(["c", "a"]), as_sample_ids(["a", "b", "c"])).tolist()
        [2, 0]
    """
    # Only the requested ids become Python objects; they are a small part of a large pool.
    asked = np.flatnonzero(is_in(among, ids))
    position_of = dict(zip(among[asked].tolist(), asked.tolist(), strict=True))
    listed = ids.tolist()
    if missing := [sample_id for sample_id in listed if sample_id not in position_of]:
        some = f"{len(among)} such as {name_ids(among[:3].tolist())}" if len(among) else "none"
        raise error(f"{what}: expected ids of {of}, got {name_ids(missing)}; there are {some}")
    return np.fromiter((position_of[sample_id] for sample_id in listed), np.int64, len(ids))


def repeated_ids(ids: SampleIds) -> list[SampleId]:
    """Returns the distinct ids that occur more than once in ``ids``, sorted."""
    if is_str(ids):
        listed: list[str] = ids.tolist()
        if len(set(listed)) == len(listed):
            return []
        return sorted(item for item, count in Counter(listed).items() if count > 1)
    in_order = np.sort(ids)
    repeated: list[SampleId] = np.unique(in_order[1:][in_order[1:] == in_order[:-1]]).tolist()
    return repeated


def name_ids(ids: Iterable[SampleId], at_most: int = 5) -> str:
    """Formats the first few ids, and the number of further ones, for an error message.

    Long ids are shortened.

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
    """Returns a hexadecimal digest of ids, as a set or, if ``ordered``, as a sequence.

    Example:
        >>> fingerprint(np.array([1, 2])) == fingerprint(np.array([2, 1]))
        True
    """
    # Digests are stored in files, so they must not change. "U" marks str ids.
    if is_str(ids):
        names: list[str] = ids.tolist() if ordered else sorted(ids.tolist())
        return _digest("\n".join(map(repr, names)).encode(), b"U")
    in_order = np.ascontiguousarray(ids if ordered else np.sort(ids))
    return _digest(in_order.astype("<i8", copy=False).data, b"i")


def _digest(content: bytes | memoryview, kind: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16, person=kind).hexdigest()

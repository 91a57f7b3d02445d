"""Sample ids: the stable keys under which everything public speaks of samples.

Ids are all ``int`` or all ``str``. Inside the package they travel as one-dimensional numpy arrays
(``int64`` or unicode); row numbers of tensors at hand are called positions and never leave
``ordering/``.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError, LabelError

SampleId: TypeAlias = int | str
SampleIds: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.str_]


def as_sample_ids(
    ids: Iterable[Any], *, unique: bool = True, error: type[BadgeError] = LabelError
) -> SampleIds:
    """Returns ids as an array, or says what is wrong with them.

    Args:
        ids: Any iterable of ids: list, numpy array, integer tensor.
        unique: Whether a repeated id is an error.
        error: What to raise.

    Returns:
        An array ``[n]`` of dtype ``int64`` or unicode; ``int64`` where there are no ids.

    Raises:
        BadgeError: Ids that are neither all int nor all str, or repeated ones.

    Example:
        >>> as_sample_ids(["b", "a"]).tolist()
        ['b', 'a']
    """
    array: SampleIds
    if (
        isinstance(ids, np.ndarray)
        and ids.ndim == 1
        and (ids.dtype == np.int64 or ids.dtype.kind == "U")
    ):
        array = ids
    else:
        array = _from_items(ids, error)
    if unique and (repeated := repeated_ids(array)):
        raise error(f"sample ids: expected each once, but {name_ids(repeated)} came more than once")
    return array


def _from_items(ids: Iterable[Any], error: type[BadgeError]) -> SampleIds:
    plain = ids.tolist() if hasattr(ids, "tolist") else ids
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
    array: SampleIds = np.array(plain, dtype=np.str_ if kinds == {"str"} else object)
    if kinds != {"str"}:
        array = _as_int64(array, error)
    elif array.tolist() != plain:
        raise error("sample ids: expected no trailing NUL characters; strip them")
    return array


def _as_int64(ids: npt.NDArray[Any], error: type[BadgeError]) -> npt.NDArray[np.int64]:
    try:
        return ids.astype(np.int64)
    except OverflowError:
        raise error("sample ids: expected integers below 2**63; pass larger ones as str") from None


def _kind(item: object) -> str:
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return "int"
    return "str" if isinstance(item, str) else type(item).__name__


def repeated_ids(ids: SampleIds) -> list[SampleId]:
    """Returns the ids that stand in ``ids`` more than once, each once, sorted."""
    values, counts = np.unique(ids, return_counts=True)
    repeated: list[SampleId] = values[counts > 1].tolist()
    return repeated


def name_ids(ids: Iterable[SampleId], at_most: int = 5) -> str:
    """Returns the first few ids for an error message, and how many more there are.

    Example:
        >>> name_ids(range(8))
        '0, 1, 2, 3, 4 and 3 more'
    """
    listed: Sequence[SampleId] = list(ids)
    first = ", ".join(repr(sample_id) for sample_id in listed[:at_most])
    more = len(listed) - at_most
    return f"{first} and {more} more" if more > 0 else first


def fingerprint(ids: SampleIds, *, ordered: bool = False) -> str:
    """Returns a hexadecimal digest of a set of ids, whatever their order, or of a sequence.

    Example:
        >>> fingerprint(np.array([1, 2])) == fingerprint(np.array([2, 1]))
        True
    """
    listed = ids if ordered else np.sort(ids)
    if listed.dtype.kind == "U":
        content = "\n".join(map(repr, listed.tolist())).encode()
    else:
        content = listed.astype("<i8").tobytes()
    return hashlib.blake2b(content, digest_size=16, person=ids.dtype.kind.encode()).hexdigest()

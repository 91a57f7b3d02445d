"""The arguments of the page's calls, checked; nothing that came by the network is used before."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning_badge.store.consensus import is_model

MOST_SAMPLES = 20  # that a session holds
MOST_ANSWERS = 50  # in one call
MOST_ROWS = 100  # of a review
_LONGEST_NAME = 40
_LONGEST_CLASS = 100
_LONGEST_COMMENT = 500
_MOST_SECONDS = 24 * 3600.0
_TAB = re.compile(r"[A-Za-z0-9-]{8,64}")
_KEY = re.compile(r"[0-9a-f]{16}")
_STATUS = ("label", "skip", "undo")
_BY = ("all", "class", "annotator", "disagreement", "contradiction", "flagged")
_OF_BY = {"class": int, "annotator": str}


class CallError(Exception):
    """A call that is refused, with the HTTP status and one line for the person at the page.

    Args:
        text: What was expected and what came.
        status: The HTTP status.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class GivenAnswer:
    """One answer of a call, whose sample, class and round are not checked yet.

    Attributes:
        request: Unique id of the answer.
        key: Key of the sample.
        status: ``label``, ``skip`` or ``undo``.
        label: A class, a 0/1 list with one entry a class, or None.
        new_class: Name of the class, if it is to be added.
        round: The round that offered the sample.
        rank: Its rank; None if it has none.
        seconds: Time that the answer took; None if it is not known.
    """

    request: str
    key: str
    status: str
    label: int | list[int] | None
    new_class: str | None
    round: int
    rank: int | None
    seconds: float | None


@dataclass(frozen=True)
class Filter:
    """Which labels a review shows: all of one kind, and which part of them."""

    by: str
    value: int | str | None
    offset: int
    count: int


def labeler_of(body: Mapping[str, Any]) -> str:
    """Returns the name of who is at the page."""
    name = body.get("labeler")
    if isinstance(name, str) and _is_line(name, _LONGEST_NAME):
        if is_model(name):
            raise CallError(f"labeler: expected a name of a person, got {name}")
        return name
    raise CallError(f"labeler: expected a name of 1 to {_LONGEST_NAME} printable characters")


def tab_of(body: Mapping[str, Any]) -> str:
    """Returns the id of the tab."""
    tab = body.get("session")
    if isinstance(tab, str) and _TAB.fullmatch(tab):
        return tab
    raise CallError("session: expected 8 to 64 of the characters A-Z, a-z, 0-9 and -")


def want_of(body: Mapping[str, Any]) -> int:
    """Returns how many samples a session wants to hold."""
    return _int(body.get("want"), "want", 0, MOST_SAMPLES)


def key_of(body: Mapping[str, Any]) -> str:
    """Returns the key of a sample."""
    return _key(body.get("key"))


def released_of(body: Mapping[str, Any]) -> list[str]:
    """Returns the keys of the samples that a session gives back."""
    keys = body.get("release", [])
    if not isinstance(keys, list) or len(keys) > MOST_SAMPLES * 2:
        raise CallError(f"release: expected a list of at most {MOST_SAMPLES * 2} keys")
    return [_key(key) for key in keys]


def comment_of(body: Mapping[str, Any]) -> str:
    """Returns the comment of a flag."""
    comment = body.get("comment")
    if isinstance(comment, str) and comment.strip() and len(comment) <= _LONGEST_COMMENT:
        return comment.strip()
    raise CallError(f"comment: expected 1 to {_LONGEST_COMMENT} characters")


def answers_of(body: Mapping[str, Any]) -> list[GivenAnswer]:
    """Returns the answers of a call, in order."""
    answers = body.get("answers")
    if not isinstance(answers, list) or not 1 <= len(answers) <= MOST_ANSWERS:
        raise CallError(f"answers: expected a list of 1 to {MOST_ANSWERS} answers")
    return [_answer(answer) for answer in answers]


def filter_of(body: Mapping[str, Any]) -> Filter:
    """Returns which labels a review shows."""
    by, value = body.get("by"), body.get("value")
    if by not in _BY:
        raise CallError(f"by: expected one of {', '.join(_BY)}")
    kind = _OF_BY.get(by)
    if kind is not None and type(value) is not kind:
        raise CallError(f"value: expected the {by}'s {'number' if kind is int else 'name'}")
    return Filter(
        by,
        None if kind is None else value,
        _int(body.get("offset", 0), "offset", 0, 2**53),
        _int(body.get("count", MOST_ROWS), "count", 0, MOST_ROWS),
    )


def _answer(answer: Any) -> GivenAnswer:
    if not isinstance(answer, dict):
        raise CallError("answers: expected objects")
    request, status = answer.get("request"), answer.get("status")
    if not isinstance(request, str) or not _TAB.fullmatch(request):
        raise CallError("request: expected a unique id of 8 to 64 characters A-Z, a-z, 0-9 and -")
    if status not in _STATUS:
        raise CallError(f"status: expected one of {', '.join(_STATUS)}")
    new_class = answer.get("new_class") if status == "label" else None
    label = answer.get("label") if status == "label" and new_class is None else None
    if new_class is not None and not (
        isinstance(new_class, str) and _is_line(new_class, _LONGEST_CLASS)
    ):
        raise CallError(f"new_class: expected 1 to {_LONGEST_CLASS} printable characters")
    if status == "label" and new_class is None and not _is_label(label):
        raise CallError("label: expected the number of a class, or a 0/1 list")
    rank = answer.get("rank")
    return GivenAnswer(
        request,
        _key(answer.get("key")),
        status,
        label,
        None if new_class is None else new_class.strip(),
        _int(answer.get("round"), "round", 0, 2**31),
        None if rank is None else _int(rank, "rank", 0, 2**53),
        _seconds(answer.get("seconds")),
    )


def _is_label(label: Any) -> bool:
    if isinstance(label, list):
        return all(type(entry) is int and entry in (0, 1) for entry in label)
    return type(label) is int


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise CallError("seconds: expected a number of at least 0, or null")
    return min(float(value), _MOST_SECONDS)


def _key(value: Any) -> str:
    if isinstance(value, str) and _KEY.fullmatch(value):
        return value
    raise CallError("key: expected the key of a sample, 16 hexadecimal digits")


def _int(value: Any, name: str, least: int, most: int) -> int:
    if type(value) is int and least <= value <= most:
        return value
    raise CallError(f"{name}: expected an integer from {least} to {most}")


def _is_line(text: str, longest: int) -> bool:
    return bool(text.strip()) and len(text) <= longest and text.isprintable()

"""What a chat model is asked, and which classes its answer names."""

import json
import re
from collections.abc import Sequence
from typing import Any

from lightning_badge.labelers.service.reply import Request

PROMPT = """You label samples for a data set.
The classes are: {classes}.
{rule}
{guidelines}"""
_ONE = "Answer with the name of one class and nothing else. If you cannot tell, answer: skip"
_SEVERAL = (
    "Answer with the names of all classes that apply, separated by commas, and nothing else. If "
    "none applies, answer: none. If you cannot tell, answer: skip"
)
_AROUND = " \t\r\n.!\"'`*"  # what models write around a name


def messages(prompt: str, request: Request, guidelines: str) -> list[dict[str, Any]]:
    """Returns the messages of a chat: the prompt and the sample.

    Args:
        prompt: Template over ``{classes}``, ``{rule}`` and ``{guidelines}``.
        request: The sample.
        guidelines: Text that explains the classes.
    """
    values = {
        "{classes}": ", ".join(request.classes),
        "{rule}": _SEVERAL if request.multilabel else _ONE,
        "{guidelines}": guidelines,
    }
    # In one pass, so that nothing is replaced within what was filled in.
    text = re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], prompt)
    return [
        {"role": "system", "content": text.strip()},
        {"role": "user", "content": _shown(request)},
    ]


def classes_of(
    text: str, classes: Sequence[str], *, multilabel: bool = False
) -> tuple[str, ...] | None:
    """Returns the classes that an answer names; None if it names something else.

    Case, and quotes and marks around a name do not matter.

    Example:
        >>> classes_of(' "Cat". ', ["cat", "dog"]), classes_of("a cat", ["cat", "dog"])
        (('cat',), None)
        >>> classes_of("dog, cat", ["cat", "dog"], multilabel=True)
        ('dog', 'cat')
    """
    if multilabel and _plain(text) == "none" and "none" not in classes:
        return ()
    parts = re.split(r"[,|\n]", text) if multilabel else [text]
    named = [_named(part, classes) for part in parts]
    return None if None in named else tuple(dict.fromkeys(name for name in named if name))


def _named(part: str, classes: Sequence[str]) -> str | None:
    for name in (part.strip(), part.strip(_AROUND)):
        if name in classes:
            return name
    alike = [name for name in classes if _plain(name) == _plain(part)]
    return alike[0] if len(alike) == 1 else None


def _plain(text: str) -> str:
    return text.strip(_AROUND).casefold()


def _shown(request: Request) -> str | list[dict[str, Any]]:
    content = request.content
    image = content.get("image") or (content.get("url") if request.kind == "images" else None)
    if image:
        return [{"type": "image_url", "image_url": {"url": image}}]
    if "row" in content:
        return json.dumps(content["row"], ensure_ascii=False)
    return str(content.get("text", content.get("url")))

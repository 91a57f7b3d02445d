"""The labeling configuration of a project: XML that says what people see and choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from lightning_badge.exceptions import LabelError

# The tag that shows samples of a kind, and the entry of a task's data that it shows.
_SHOWS = {"images": ("Image", "image"), "texts": ("Text", "text"), "tables": ("Table", "row")}
_KEYS = "1234567890qwertyuiopasdfghjklzxcvbnm"


@dataclass(frozen=True)
class LabelingConfig:
    """What of a configuration concerns tasks and answers.

    Attributes:
        from_name: Name of the tag with the classes.
        to_name: Name of the tag that shows the sample.
        key: The entry of a task's data that it shows.
        classes: The classes by what an answer calls them.
    """

    from_name: str
    to_name: str
    key: str
    classes: dict[str, str]

    def result_of(self, classes: Sequence[str]) -> list[dict[str, object]]:
        """Returns the answer that consists of some classes."""
        called = {name: choice for choice, name in self.classes.items()}
        chosen = [called[name] for name in classes if name in called]
        if not chosen:
            return []
        names = {"from_name": self.from_name, "to_name": self.to_name}
        return [{**names, "type": "choices", "value": {"choices": chosen}}]


def make_config(kind: str, classes: Sequence[str], *, multilabel: bool) -> str:
    """Returns the XML for a kind of samples.

    Args:
        kind: ``images``, ``texts`` or ``tables``.
        classes: Names of the classes.
        multilabel: Whether a sample may have several classes, or none.

    Example:
        >>> text = make_config("texts", ["a", "b & c"], multilabel=False)
        >>> text.partition("<Choices ")[0]
        '<View><Text name="sample" value="$text" />'
    """
    tag, key = _SHOWS[kind]
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, tag, name="sample", value=f"${key}")
    choices = ElementTree.SubElement(
        view,
        "Choices",
        name="label",
        toName="sample",
        choice="multiple" if multilabel else "single",
        required=str(not multilabel).lower(),
        showInline="true",
    )
    _add(choices, classes, 0)
    return ElementTree.tostring(view, encoding="unicode")


def read_config(text: str, classes: Sequence[str]) -> LabelingConfig:
    """Returns what a project's configuration says.

    Args:
        text: Its XML.
        classes: Names of the classes, which a tag ``Choices`` must offer.

    Raises:
        LabelError: There is no such tag, or it belongs to no tag that shows a sample.
    """
    view = _parsed(text)
    known = {_plain(name): name for name in classes}
    offered: list[str] = []
    for choices in view.iter("Choices"):
        called = {
            choice.get("alias") or _value(choice): _plain(_value(choice))
            for choice in choices.iter("Choice")
        }
        offered += called.values()
        shows = next((tag for tag in view.iter() if tag.get("name") == choices.get("toName")), None)
        value = "" if shows is None else shows.get("value", "")
        if known.keys() <= set(called.values()) and value.startswith("$"):
            return LabelingConfig(
                choices.get("name", ""),
                choices.get("toName", ""),
                value[1:],
                {choice: known.get(name, name) for choice, name in called.items()},
            )
    missing = [name for plain, name in known.items() if plain not in offered]
    raise LabelError(
        "labelers.project: expected a labeling configuration with a tag Choices that offers the "
        f"classes of the data, and shows a sample; missing are {missing or 'such a tag'}; add "
        "them in the settings of the project, or take another project"
    )


def with_classes(text: str, classes: Sequence[str]) -> str | None:
    """Returns a configuration that offers further classes; None if it offers all of them."""
    view = _parsed(text)
    choices = next(view.iter("Choices"), None)
    if choices is None:
        return None
    offered = [_plain(_value(choice)) for choice in choices.iter("Choice")]
    new = [name for name in classes if _plain(name) not in offered]
    if not new:
        return None
    _add(choices, new, len(offered))
    return ElementTree.tostring(view, encoding="unicode")


def is_empty(text: str | None) -> bool:
    """Returns whether a project has no configuration yet."""
    return not text or len(_parsed(text)) == 0


def _add(choices: ElementTree.Element, classes: Sequence[str], place: int) -> None:
    for number, name in enumerate(classes, start=place):
        choice = ElementTree.SubElement(choices, "Choice", value=_plain(name))
        if number < len(_KEYS):
            choice.set("hotkey", _KEYS[number])


def _parsed(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LabelError(
            f"labelers.project: its labeling configuration is no XML: {error}"
        ) from error


def _value(choice: ElementTree.Element) -> str:
    return choice.get("value") or ""


def _plain(name: str) -> str:
    """Returns a name as an attribute of XML holds it."""
    return " ".join(name.split())

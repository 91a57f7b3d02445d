"""Sphinx reads notebooks as pages: cells, and the outputs that they hold. Nothing is executed.

Of outputs it knows what these notebooks have: text and PNG. Others are an error of the build.
"""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

_FENCE = re.compile(r"^`{3,}", re.MULTILINE)


class NotebookParser(MystParser):  # type: ignore[misc]
    """Parses a notebook as the Markdown page that it amounts to."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """See docutils."""
        name = Path(document["source"]).name
        super().parse(as_markdown(json.loads(inputstring), name), document)


def as_markdown(notebook: dict[str, Any], name: str) -> str:
    """Returns a notebook as a Markdown page, with a link to the file behind its title.

    Args:
        notebook: What the file holds.
        name: Name of the file.

    Raises:
        ValueError: A kind of cell or output that no page shows.
    """
    first, *others = notebook["cells"]
    title, _, text = "".join(first["source"]).partition("\n")
    parts = [title, f"{{download}}`This page as a notebook <{name}>`, executed.", text]
    for cell in others:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts += [_fenced(source, "python"), *map(_shown, _joined(cell["outputs"]))]
    return "\n\n".join(parts) + "\n"


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns outputs, of which printed lines that follow each other are one."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        is_text = output["output_type"] == "stream"
        if is_text and joined and joined[-1]["output_type"] == "stream":
            joined[-1] = {**output, "text": "".join((*joined[-1]["text"], *output["text"]))}
        else:
            joined.append(output)
    return joined


def _shown(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]).rstrip("\n"), "text")
    data = output.get("data", {})
    if "image/png" not in data:
        raise ValueError(f"expected text or image/png, got an output of {', '.join(data)}")
    image = "".join("".join(data["image/png"]).split())
    return f"![Picture that the lines above draw](data:image/png;base64,{image})"


def _fenced(text: str, language: str) -> str:
    fence = "`" * max([3, *(len(found) + 1 for found in _FENCE.findall(text))])
    return f"{fence}{language}\n{text}\n{fence}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}

"""The notebooks as pages of the site: all that they hold is shown."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    monkeypatch.syspath_prepend(DOCS)
    import notebook_pages

    yield notebook_pages
    del sys.modules["notebook_pages"]


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": [{"cell_type": "markdown", "source": ["# Title\n", "Text."]}, *cells]}


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def printed(text: Any) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.ipynb")), ids=lambda path: path.stem)
def test_every_cell_and_every_output_is_on_the_page(pages: ModuleType, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    page = pages.as_markdown(content, path.name)
    outputs = [it for cell in content["cells"] for it in cell.get("outputs", [])]
    for cell in content["cells"][1:]:
        assert "".join(cell["source"]) in page
    for output in outputs:
        assert "".join(output.get("text", [])).rstrip("\n") in page
    assert page.count("data:image/png;base64,") == sum("data" in output for output in outputs)


def test_printed_lines_that_follow_each_other_are_one_block(pages: ModuleType) -> None:
    cell = code("print(1)\nprint(2)", printed(["1\n"]), printed("2\n"))
    page = pages.as_markdown(notebook(cell), "a.ipynb")
    assert page.startswith(
        "# Title\n\n{download}`This page as a notebook <a.ipynb>`, executed.\n\nText."
    )
    assert "```text\n1\n2\n```" in page


def test_fences_in_code_do_not_end_its_block(pages: ModuleType) -> None:
    page = pages.as_markdown(notebook(code("text = '''\n````\n'''")), "a.ipynb")
    assert re.search(r"^`{5}python\n.*\n`{5}$", page, re.S | re.M)


def test_an_output_that_no_page_shows_is_an_error(pages: ModuleType) -> None:
    table = {"output_type": "display_data", "data": {"text/html": "<b>1</b>"}}
    with pytest.raises(ValueError, match="expected text or image/png, got an output of text/html"):
        pages.as_markdown(notebook(code("table", table)), "a.ipynb")

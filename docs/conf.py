"""Builds the documentation: ``sphinx-build -W docs OUT``. Nothing is loaded from the network."""

import re
import sys
from importlib import metadata
from pathlib import Path

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "lightning_badge"
author = "the authors of lightning_badge"
release = metadata.version("lightning-badge")
extensions = [
    *("myst_parser", "notebook_pages"),
    *("sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"),
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lightning_badge"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_copyright = False
html_use_index = False

# Headings get the anchors that GitHub gives them, because the pages are read there, too.
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "member-order": "bysource"}
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
# Text in single backticks is a link where it names something public, else code.
default_role = "py:obj"


# A link whose text is a file's name, which GitHub shows; here the title of the page stands there.
NAMED_BY_FILE = re.compile(r"\[[\w/]+\.(?:md|rst)\]\((?=[\w./]+\.(?:md|rst)[#)])")
INCLUDED = re.compile(r"```\{include\} \.\./(\w+\.md)\n```")


def link_within_the_site(app: Sphinx, document: str, source: list[str]) -> None:
    """Lets links to files of the repository that are also pages here lead to those pages."""
    del document

    def text_of(found: re.Match[str]) -> str:
        app.env.note_dependency(str(ROOT / found[1]))
        return (ROOT / found[1]).read_text(encoding="utf-8").replace("](docs/", "](")

    text = INCLUDED.sub(text_of, source[0])
    for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"):
        text = text.replace(f"[{name}.md](", "[](").replace(f"(../{name}.md", f"({name.lower()}.md")
    source[0] = NAMED_BY_FILE.sub("[](", text)


def link_to_public_names(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element
) -> Element | None:
    """Finds names that a docstring of another module gives without their package."""
    if node.get("refdomain") != "py":
        return None
    for module in ("lightning_badge", "lightning_badge.exceptions", "lightning_badge.capture"):
        node["py:module"], domain = module, env.domains["py"]
        role, target = node["reftype"], node["reftarget"]
        found = domain.resolve_xref(env, node["refdoc"], app.builder, role, target, node, text)
        if found is not None:
            return found
    return None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", link_within_the_site)
    app.connect("missing-reference", link_to_public_names)

"""Builds the documentation: ``sphinx-build -W docs OUT``. Nothing is loaded from the network."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "lightning_badge"
author = "the authors of lightning_badge"
release = metadata.version("lightning-badge")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lightning_badge"
html_static_path = ["_static"]
html_copy_source = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}

# Headings get the anchors that GitHub gives them, because the pages are read there, too.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
# Text in single backticks is a link where it names something public, else code.
default_role = "py:obj"


def link_within_the_site(app: Sphinx, document: str, source: list[str]) -> None:
    """Lets links to files of the repository that are also pages here lead to those pages."""
    del app
    base = "../" * document.count("/")
    for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"):
        source[0] = source[0].replace(f"(../{base}{name}.md", f"({base}{name.lower()}.md")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", link_within_the_site)

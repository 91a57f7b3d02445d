"""Sentences from SciPy's documentation, each with the subpackage that it documents.

Real English text without a download: SciPy is installed wherever scikit-learn is.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lightning_badge.examples.extra import examples_extra

# The subpackages with at least 100 sentences.
TOPICS = (
    *("interpolate", "io", "linalg", "optimize", "signal", "sparse", "spatial", "special"),
    "stats",
)
_WORDS = range(5, 61)
_DOCUMENTED = (ast.ClassDef, ast.FunctionDef)


class Sentence(NamedTuple):
    """The first paragraph of the docstring of a function or class.

    Attributes:
        sample_id: Dotted name of the function or class, such as
            ``scipy.stats._stats_py.pearsonr``.
        text: The paragraph, on one line.
        topic: Index of the subpackage in ``TOPICS``.
    """

    sample_id: str
    text: str
    topic: int


@cache
def scipy_sentences() -> tuple[Sentence, ...]:
    """Reads the docstrings of SciPy's subpackages, including those of private functions.

    Uses first paragraphs of 5 to 60 words, without duplicates. SciPy's source files are parsed, not
    imported, which takes a second or two. The result depends on SciPy's version.
    """
    with examples_extra():
        import scipy

    root = Path(scipy.__file__).parent
    found: dict[str, Sentence] = {}
    for topic, name in enumerate(TOPICS):
        for path in sorted((root / name).rglob("*.py")):
            if "tests" in path.parts:
                continue
            module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            for sample_id, docstring in _docstrings(_parse(path), module):
                text = " ".join(docstring.split("\n\n")[0].split())
                if len(text.split()) in _WORDS:
                    found.setdefault(text, Sentence(sample_id, text, topic))
    # A name may be defined twice, for example in both branches of an `if`.
    return tuple({sentence.sample_id: sentence for sentence in found.values()}.values())


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    for child in getattr(node, "body", ()):
        if not isinstance(child, _DOCUMENTED):
            yield from _docstrings(child, name)
            continue
        if docstring := ast.get_docstring(child):
            yield f"{name}.{child.name}", docstring
        yield from _docstrings(child, f"{name}.{child.name}")


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))

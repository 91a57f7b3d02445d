"""The version stands in pyproject.toml; what else names it says the same."""

import re
import subprocess
import sys

import pytest
import yaml
from packaging.version import Version
from release_facts import PROJECT, ROOT, VERSION

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_it_is_in_canonical_form() -> None:
    assert str(Version(VERSION)) == VERSION
    assert len(Version(VERSION).release) == 3


def test_no_module_names_it() -> None:
    """The package asks its metadata."""
    for path in (ROOT / "lightning_badge").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert f'"{VERSION}"' not in text, path
        assert "__version__ =" not in text, path


def test_the_citation() -> None:
    """Its keys are those that the Citation File Format 1.2.0 requires, and some that it knows."""
    assert str(CITATION["version"]) == VERSION
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["type"] == "software"
    assert CITATION["title"] == PROJECT["name"].replace("-", "_")
    assert {"message", "authors"} <= set(CITATION)
    assert all({"type", "title", "authors"} <= set(paper) for paper in CITATION["references"])


def test_the_changelog_has_it_once_it_is_released() -> None:
    """An entry of the newest release is not older than the version."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [Version(found) for found in re.findall(r"^## \[(\d[^\]]*)\]", text, re.MULTILINE)]
    assert all(version <= Version(VERSION) for version in released)


@pytest.mark.long
def test_the_citation_has_the_schema() -> None:
    """By the schema that the format publishes, which check-jsonschema carries."""
    pytest.importorskip("check_jsonschema", reason="pip install 'lightning-badge[release]'")
    schema = ["--builtin-schema", "vendor.citation-file-format"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(ROOT / "CITATION.cff")]
    assert subprocess.run(command, check=False).returncode == 0

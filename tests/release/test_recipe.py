"""The draft for conda-forge requires what pyproject.toml requires."""

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from release_facts import PROJECT, PYPROJECT, ROOT, VERSION, requirements

PATH = ROOT / "recipe/recipe.yaml"
RECIPE = yaml.safe_load(PATH.read_text(encoding="utf-8"))
NAMES = {"pytorch": "torch"}  # where conda-forge has another name than PyPI


def required(section: str) -> dict[str, SpecifierSet]:
    found = {}
    for line in RECIPE["requirements"][section]:
        name, _, bound = line.partition(" ")
        if name not in ("python", "pip"):
            found[canonicalize_name(NAMES.get(name, name))] = SpecifierSet(bound)
    return found


def test_it_requires_what_the_core_requires() -> None:
    assert required("run") == {name: r.specifier for name, r in requirements().items()}


def test_it_is_built_by_what_builds_the_wheel() -> None:
    (backend,) = map(Requirement, PYPROJECT["build-system"]["requires"])
    assert required("host") == {backend.name: backend.specifier}


def test_it_says_what_the_metadata_say() -> None:
    assert RECIPE["context"] == {"name": PROJECT["name"], "version": VERSION}
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    (entry,) = RECIPE["build"]["python"]["entry_points"]
    assert dict([entry.split(" = ")]) == PROJECT["scripts"]


@pytest.mark.long
def test_it_renders() -> None:
    """By the program that conda-forge builds with; there is no wheel of it for all Pythons."""
    rattler_build = pytest.importorskip("rattler_build", reason="pip install py-rattler-build")
    variants = rattler_build.VariantConfig({"python_min": ["3.10"]})
    (rendered,) = rattler_build.Stage0Recipe.from_file(str(PATH)).render(variants)
    assert "python 3.10.*" in rendered.recipe.to_dict()["requirements"]["host"]

"""What is said of Pythons is what ran, and the pinned versions exclude none that is claimed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from release_facts import PROJECT, PYPROJECT, ROOT, WORKFLOWS, constraints, requirements

MATRIX = WORKFLOWS["ci.yml"]["jobs"]["pythons"]["strategy"]["matrix"]["python"]
PAGE = (ROOT / "docs/releasing.md").read_text(encoding="utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| 3\.\d+ \|", line)
]
RAN = {row[0] for row in TABLE if row[2] == "the whole suite"}
CLASSIFIED = {
    found[1]
    for text in PROJECT["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text))
}


def test_the_classifiers_claim_what_ran() -> None:
    assert CLASSIFIED == RAN
    assert RAN


def test_the_readme_claims_what_ran() -> None:
    (line,) = re.findall(
        r"It was tested with Python (.*?) and the versions", (ROOT / "README.md").read_text()
    )
    assert set(line.split(", ")) == RAN


def test_the_workflow_has_a_matrix_of_all_that_may_install_it() -> None:
    assert MATRIX == ["3.10", "3.11", "3.12", "3.13"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(f"{python}.0" in allowed for python in MATRIX)
    assert f"3.{int(MATRIX[0][2:]) - 1}.99" not in allowed
    assert WORKFLOWS["release.yml"]["jobs"]["smoke"]["strategy"]["matrix"]["python"] == MATRIX
    assert {row[0] for row in TABLE} == set(MATRIX)


def test_the_workflow_runs_the_oldest_versions() -> None:
    job = str(WORKFLOWS["ci.yml"]["jobs"]["oldest"]["steps"])
    assert "--resolution lowest-direct" in job
    assert repr(MATRIX[0]) in job


def test_every_requirement_has_a_lower_bound() -> None:
    """So that the oldest versions are known."""
    for extra in (None, *PROJECT["optional-dependencies"]):
        for name, requirement in requirements(extra).items():
            operators = {specifier.operator for specifier in requirement.specifier}
            assert ">=" in operators or name == PROJECT["name"], f"{extra}: {requirement}"


@pytest.mark.parametrize("python", MATRIX)
def test_the_constraints_admit_the_bounds(python: str) -> None:
    pins = constraints(python)
    assert pins.keys() == constraints(MATRIX[1]).keys()
    for extra in (None, *PROJECT["optional-dependencies"]):
        for name, requirement in requirements(extra).items():
            if name in pins:
                assert pins[name] in requirement.specifier, f"{extra}: {requirement}"


def test_types_and_style_are_checked_for_the_oldest() -> None:
    oldest = MATRIX[0]
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


@pytest.mark.long
@pytest.mark.parametrize("python", MATRIX)
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_there_are_wheels_for_it(python: str, resolution: str, tmp_path: Path) -> None:
    """uv finds wheels of the pinned and of the oldest versions, for Pythons that are not here."""
    if shutil.which("uv") is None:
        pytest.skip("pip install 'lightning-badge[release]'")
    if resolution == "lowest-direct" and python != MATRIX[0]:
        pytest.skip("the oldest versions have wheels for the oldest Python")
    command = ["uv", "pip", "compile", "pyproject.toml", "--quiet", "--python-version", python]
    command += ["--python-platform", "linux", "--resolution", resolution]
    command += ["--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime"]
    command += ["--extra", "all", "--extra", "test", "--output-file", str(tmp_path / "found")]
    if resolution == "highest":
        command += ["--constraints", "constraints.txt"]
    subprocess.run(command, cwd=ROOT, check=True)
    assert "torch==" in (tmp_path / "found").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("python", MATRIX)
def test_the_types_hold(python: str) -> None:
    """mypy knows in which Python each name of the standard library came."""
    pytest.importorskip("mypy", reason="pip install 'lightning-badge[dev]'")
    command = [sys.executable, "-m", "mypy", "--python-version", python]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0

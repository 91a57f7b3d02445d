"""requirements.lock has every package that the core and the extras need, with hashes."""

import re
import sys
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release_facts import PROJECT, ROOT, constraints

LOCK = ROOT / "requirements.lock"
PINNED = re.compile(r"^(\S+)==(\S+)(?: ; (.+?))? \\$")


def locked() -> dict[str, set[str]]:
    """Returns the versions by package; several where platforms differ."""
    versions: dict[str, set[str]] = {}
    for line in LOCK.read_text().splitlines():
        if found := PINNED.match(line):
            versions.setdefault(canonicalize_name(found[1]), set()).add(found[2])
    return versions


LOCKED = locked()


def test_each_package_has_a_version_and_hashes() -> None:
    text = LOCK.read_text()
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(packages) > 100
    for package in packages:
        assert PINNED.match(package.splitlines()[0]), package
        assert "--hash=sha256:" in package, package


def test_it_has_what_the_project_requires() -> None:
    texts = [
        *PROJECT["dependencies"],
        *(t for x in PROJECT["optional-dependencies"].values() for t in x),
    ]
    for requirement in map(Requirement, texts):
        name = canonicalize_name(requirement.name)
        if name == canonicalize_name(PROJECT["name"]):
            continue
        assert name in LOCKED, f"{name}: run bash .ci/lock"
        for version in LOCKED[name]:
            assert requirement.specifier.contains(version), f"{requirement}: locked at {version}"


def test_it_agrees_with_the_constraints() -> None:
    pins = constraints("3.11")
    assert len(pins) > 30
    for name, version in pins.items():
        assert LOCKED.get(name) == {version}, f"{name}: run bash .ci/lock"


def test_it_has_what_the_packages_require_in_turn() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("it is made for Python 3.11 and later")
    checked = 0
    for name, versions in LOCKED.items():
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if installed.version not in versions:
            continue  # another version may need other packages
        checked += 1
        for requirement in map(Requirement, installed.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in LOCKED, f"{name} needs {requirement}"
    assert checked > 30


def test_a_workflow_audits_it_each_week() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/audit.yml").read_text())
    assert workflow[True]["schedule"][0]["cron"].endswith(" * * 1")  # YAML reads "on" as true
    (job,) = workflow["jobs"].values()
    assert any(
        "pip-audit --requirement requirements.lock" in s.get("run", "") for s in job["steps"]
    )

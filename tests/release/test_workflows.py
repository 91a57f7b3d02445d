"""The workflows pin what they use, and publish only when a person has turned that on."""

import re
import subprocess
import sys

import pytest
from release_facts import ROOT, WORKFLOWS

RELEASE = WORKFLOWS["release.yml"]["jobs"]
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
STEPS = [
    pytest.param(step, id=f"{name}:{job}:{number}")
    for name, workflow in WORKFLOWS.items()
    for job, facts in workflow["jobs"].items()
    for number, step in enumerate(facts["steps"])
    if "uses" in step
]


@pytest.mark.parametrize("step", STEPS)
def test_actions_are_pinned_to_commits(step: "dict[str, str]") -> None:
    assert COMMIT.fullmatch(step["uses"])


def test_an_action_has_one_commit_and_each_names_its_version() -> None:
    used: dict[str, set[str]] = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for line in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8")):
            action, commit, version = re.fullmatch(r"(.+)@(\w+) # (v[\d.]+)", line).groups()
            used.setdefault(action, set()).add(f"{commit} {version}")
    assert len(used) >= 5
    assert {action: len(commits) for action, commits in used.items()} == dict.fromkeys(used, 1)


def test_no_job_may_write() -> None:
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        for job, facts in workflow["jobs"].items():
            allowed = {"id-token": "write"} if job == "publish" else None
            assert facts.get("permissions") == allowed, f"{name}: {job}"


def test_publishing_is_off_until_a_person_turns_it_on() -> None:
    job = RELEASE["publish"]
    assert job["if"] == "github.ref_type == 'tag' && vars.PUBLISH == 'true'"
    assert job["environment"] == "pypi"  # PyPI trusts this environment; people may have to approve
    assert not re.search(r"password|secrets\.", str(WORKFLOWS["release.yml"]))


def test_what_is_published_is_what_was_built_and_tested() -> None:
    """The job that publishes builds nothing and compares digests first."""
    assert set(RELEASE["publish"]["needs"]) == {"build", "smoke"}
    names = [str(step.get("uses", step.get("run"))) for step in RELEASE["publish"]["steps"]]
    assert [name.partition("@")[0] for name in names[::2]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "sha256sum --check --strict" in names[1]
    assert "bash .ci/dist dist" in [step.get("run") for step in RELEASE["build"]["steps"]]
    assert any(".ci/smoke.py" in str(step.get("run")) for step in RELEASE["smoke"]["steps"])


def test_long_checks_use_what_the_extras_name() -> None:
    installs = [step.get("run", "") for step in WORKFLOWS["long.yml"]["jobs"]["run"]["steps"]]
    assert any("[all,test,release,notebooks]" in line for line in installs)


@pytest.mark.long
@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_the_schema(name: str) -> None:
    pytest.importorskip("check_jsonschema", reason="pip install 'lightning-badge[release]'")
    schema = ["--builtin-schema", "vendor.github-workflows"]
    path = str(ROOT / ".github/workflows" / name)
    command = [sys.executable, "-m", "check_jsonschema", *schema, path]
    assert subprocess.run(command, check=False).returncode == 0

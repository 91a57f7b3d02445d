"""The files of a release: two builds are equal, metadata are right, tests run from the sdist."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from release_facts import PROJECT, ROOT, VERSION

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds both files twice; the script fails if they differ."""
    for name in ("build", "hatchling"):
        pytest.importorskip(name, reason="pip install 'lightning-badge[release]'")
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git working tree")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(["bash", ".ci/dist", str(folder)], cwd=ROOT, check=True)
    assert len(list(folder.iterdir())) == 2
    return folder


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(dist / f"lightning_badge-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"lightning_badge-{VERSION}"


def test_the_sdist_has_what_git_knows_and_nothing_else(unpacked: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    expected = set(known.stdout.splitlines()) - {"lightning_badge/configs"}
    expected |= {f"lightning_badge/{name}" for name in expected if name.startswith("configs/")}
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert names == expected | {"PKG-INFO"}
    assert not any(path.is_symlink() for path in unpacked.rglob("*"))


def test_the_wheel_has_the_package_alone(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"lightning_badge-{VERSION}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
        metadata = message_from_bytes(wheel.read(f"lightning_badge-{VERSION}.dist-info/METADATA"))
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"lightning_badge"}
    assert "lightning_badge/configs/al_loop.yaml" in names
    assert "lightning_badge/py.typed" in names
    assert "lightning_badge/labelers/page/static/index.html" in names
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == PROJECT["license"]
    assert metadata.get_payload().startswith("# lightning_badge")


def test_twine_accepts_the_metadata(dist: Path) -> None:
    pytest.importorskip("twine", reason="pip install 'lightning-badge[release]'")
    files = [str(path) for path in dist.iterdir()]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)


def test_tests_run_from_the_sdist(unpacked: Path) -> None:
    """Those of configurations, which read files of the package, and of the files around it."""
    tests = ["tests/test_configs.py", "tests/test_lock.py", "tests/release"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not slow", *tests]
    environment = {"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=unpacked, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_file_that_git_does_not_know_ends_the_build(tmp_path: Path) -> None:
    """So that no release has what lay around by chance."""
    pytest.importorskip("hatchling", reason="pip install 'lightning-badge[release]'")
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", "--local", str(ROOT), str(copy)], check=True)
    (copy / ".git/info/exclude").write_text("junk.txt\n")
    (copy / "junk.txt").write_text("by chance")
    command = ["bash", ".ci/dist", str(tmp_path / "dist")]
    done = subprocess.run(command, cwd=copy, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "something in the tree that git does not know" in done.stdout

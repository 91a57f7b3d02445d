"""The API reference names what is public, and nothing else."""

import importlib
import re
from pathlib import Path

import pytest
from draw.first_picks import NAMES

from lightning_badge import STRATEGIES, exceptions

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "lightning_badge",
    *(f"lightning_badge.{name}" for name in ("callback", "capture", "datamodule", "encoders")),
    *(f"lightning_badge.{name}" for name in ("kernels", "labelers", "loop", "ordering")),
    *("lightning_badge.datamodule.folder", "lightning_badge.loop.budget"),
)

ERRORS = exceptions.__name__


def documented(page: Path) -> list[str]:
    """Returns the full names of what a page describes."""
    module, names = "", []
    for line in page.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"\.\. (?:auto(?:class|function|data)|py:data):: (\S+)", line):
            names.append(f"{module}.{found[1]}")
    return names


PAGES = {page.stem: documented(page) for page in (ROOT / "docs/api").glob("*.rst")}


def thing(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_every_public_name_is_described_once() -> None:
    described = [name for page, names in PAGES.items() if page != "strategies" for name in names]
    objects = [thing(name) for name in described]
    assert len({*map(id, objects)}) == len(objects)
    public = {
        f"{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
    }
    assert {id(thing(name)) for name in public} <= {*map(id, objects)}
    errors = {f"lightning_badge.exceptions.{name}" for name in vars(exceptions)}
    assert {*described} <= public | errors


def test_every_error_is_described() -> None:
    errors = [it for it in vars(exceptions).values() if getattr(it, "__module__", "") == ERRORS]
    assert {thing(name) for name in PAGES["errors"]} == {*errors}


def test_every_strategy_is_described() -> None:
    assert {thing(name) for name in PAGES["strategies"]} == {
        registered.rule for registered in STRATEGIES.values()
    }


def test_table_and_picture_have_every_strategy() -> None:
    table = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert rows == list(NAMES)
    assert sorted(NAMES) == sorted(STRATEGIES)


@pytest.mark.parametrize("folder", ["lightning_badge", "configs", "scripts", "examples"])
def test_messages_and_comments_name_pages_that_exist(folder: str) -> None:
    files = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")]
    assert files
    for file in files:
        for page in re.findall(r"(?<![\w/.])docs/[\w/]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / page).exists(), f"{file}: {page}"

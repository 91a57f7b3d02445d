"""The site as a browser shows it: nothing from other hosts, no page wider than the window."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium_running

ROOT = Path(__file__).parent.parent
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the site, which is built without a warning."""
    pytest.importorskip("sphinx", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with chromium_running() as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_each_page(site: Path, chromium: Any, width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    elsewhere: list[str] = []
    problems: list[str] = []
    page.on("request", lambda it: it.url.startswith("file:") or elsewhere.append(it.url))
    page.on("requestfailed", lambda it: problems.append(it.url))
    page.on("pageerror", lambda it: problems.append(str(it)))
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for file in pages:
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            problems.append(f"{file.name} is wider than {width} pixels")
        missing = "[...document.images].filter(it => it.complete && !it.naturalWidth).length"
        if page.evaluate(missing):
            problems.append(f"{file.name} has a picture that is not shown")
    context.close()
    assert not elsewhere
    assert not problems


def test_search_finds_a_page(site: Path, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((site / "search.html").as_uri() + "?q=hallucinated")
    page.wait_for_selector("#search-results a")
    assert "badge.html" in page.inner_html("#search-results")
    page.close()

"""A run whose people label in a small Label Studio of this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_run import Run
from studio_server import TOKEN, Studio, serving


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    studio = Studio()
    with serving(studio) as url:
        made = Run(tmp_path, studio, url)
        yield made
        for labelers in made.labelers:
            labelers.close()
        made.store.close()

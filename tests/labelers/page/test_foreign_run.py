"""A run directory of somebody else that is served."""

from pathlib import Path

import pytest
from page_run import begin_run, publish

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.open_run import OpenRun
from lightning_badge.labelers.page.serve import _checked


@pytest.mark.parametrize("name", ["page", "labels.db"])
def test_a_link_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").touch()
    (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(RunDirectoryError, match=rf"{name}: expected no symbolic link"):
        _checked(tmp_path / "run")
    assert list((tmp_path / "precious").iterdir()) == []


def test_a_store_that_has_lost_answers_is_not_opened(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run"))
    OpenRun(tmp_path / "run").close()
    (tmp_path / "run" / "labels.db").unlink()
    with pytest.raises(RunDirectoryError, match=r"labels\.db: expected what round 0 was trained"):
        OpenRun(tmp_path / "run")

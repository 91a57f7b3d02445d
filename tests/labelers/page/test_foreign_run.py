"""A run directory of somebody else that is served."""

from pathlib import Path

import pytest

from lightning_badge.exceptions import RunDirectoryError
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

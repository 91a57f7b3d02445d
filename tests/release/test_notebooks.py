"""The notebooks have outputs, name nothing of the machine that made them, and run."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from release_facts import ROOT

FOLDER = ROOT / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> "dict[str, Any]":
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> "list[dict[str, Any]]":
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["banking_with_people", "mnist_by_post"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestWhatIsStored:
    def test_all_cells_ran_in_order_without_an_error(self, path: Path) -> None:
        cells = code_cells(path)
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
        kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
        assert kinds <= {"stream", "display_data", "execute_result"}

    def test_it_shows_pictures(self, path: Path) -> None:
        data = [o.get("data", {}) for cell in code_cells(path) for o in cell["outputs"]]
        assert any("image/png" in shown for shown in data)

    def test_it_names_no_folder_of_a_machine_and_no_token(self, path: Path) -> None:
        text = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
        assert not re.search(r"/(work|root|home|tmp|Users)/", text)
        assert not re.search(r"token=(?!\.\.\.|\\)", text)

    def test_it_is_read_in_five_minutes(self, path: Path) -> None:
        words = [" ".join(cell["source"]).split() for cell in read(path)["cells"]]
        assert sum(map(len, words)) <= 5 * 240
        assert path.stat().st_size < 1_000_000


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    """In a copy of its folder, as it would without the data that a machine may have."""
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name, reason="pip install 'lightning-badge[notebooks]'")
    place = tmp_path / "a" / "b" / "notebooks"
    shutil.copytree(FOLDER, place)
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    notebook = execute.executed(place / path.name, place)
    assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")

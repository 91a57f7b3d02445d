"""Executes the notebooks beside this file and stores their outputs.

``python docs/notebooks/execute.py`` executes all, with names of notebooks only these. Needs the
extra ``notebooks``.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def executed(path: Path, folder: Path = FOLDER) -> nbformat.NotebookNode:
    """Returns a notebook with new outputs, without times and versions, which differ each time.

    Args:
        path: The notebook.
        folder: Where it runs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":  # warnings of other packages name folders of the machine
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.validate(notebook)
    return notebook


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        nbformat.write(executed(path), path)
        print(f"{path.name}: executed")

"""Strange values of run_dir are refused in one line, before anything is made."""

from pathlib import Path
from typing import Any

import pytest

from lightning_badge.app.main import main
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.run_path import folder_of_run

REFUSED = {
    5: "expected the path of a folder, got 5; run_dir=./5 is",
    1.5: "run_dir=./1.5 is",
    None: "got None",
    True: "got True",
    (1, 2): r"got \(1, 2\)",
    "": "got ''",
    "  ": "got '  '",
    "a::b": "without '::'",
    "s3://bucket/run": "a folder of this machine, got 's3://bucket/run'",
    "loop/run": "cannot be used as a folder",
    "~nosuchuser/run": "home directory",
    "a\0b": "null byte",
    "x" * 300: r"run_dir: x{100}\.\.\.: cannot be used as a folder: File name too long",
    "x/" * 3000: "File name too long",
    "file": "it is a file",
    "file/run": "Not a directory",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("back")
    Path("back").symlink_to("loop")
    Path("file").touch()
    return tmp_path


@pytest.mark.parametrize("value", REFUSED)
def test_what_can_be_no_folder_is_refused_in_one_line(value: Any, folder: Path) -> None:
    before = sorted(folder.iterdir())
    for read in (folder_of_run, RunDirectory):
        with pytest.raises(RunDirectoryError, match=REFUSED[value]) as raised:
            read(value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 500
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["5", "a b", "a:b", "cost_$x$", "ünï", "%s", "x" * 200])
def test_other_names_are_folders(name: str, folder: Path) -> None:
    assert folder_of_run(name) == folder / name
    with RunDirectory(name) as directory:
        assert directory.path == folder / name


@pytest.mark.parametrize("given", ["5", "null", "[a]", "a::b", "loop/run", "file", "labelers=page"])
def test_the_command_refuses_them_in_one_line(given: str, capsys: Any) -> None:
    arguments = ["run_dir=5", given] if "=" in given else [f"run_dir='{given}'", "labelers=dataset"]
    if given in ("5", "null", "[a]"):
        arguments[0] = f"run_dir={given}"
    with pytest.raises(SystemExit) as ended:
        main(["loop", *arguments])
    said = f"error: {capsys.readouterr().err}" if ended.value.code == 1 else str(ended.value.code)
    assert said.startswith("error: ")
    assert "run_dir" in said
    assert len(said.strip().splitlines()) == 1

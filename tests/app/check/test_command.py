"""The command on good and bad data: facts in lines, one line for each problem, no file written."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.app.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    return tmp_path


@pytest.fixture
def photos(folder: Path) -> Path:
    """40 labeled images, one of them twice, and one that cannot be read."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    rows = [["sample_id", "label"]]
    for n in range(40):
        small = image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        small.resize((30, 30)).save(folder / "photos" / f"{n:02d}.png")
        rows.append([f"{n:02d}.png", ["cat", "dog"][n % 2]])
    (folder / "photos" / "40.png").write_bytes((folder / "photos" / "07.png").read_bytes())
    rows.append(["40.png", "cat"])
    (folder / "photos" / "broken.jpg").write_bytes(b"no image")
    write(folder / "labels.csv", rows)
    return folder / "photos"


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def listing(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Returns exit status, standard output and error; checks that no file is written."""
    before = listing(Path.cwd())
    status: object = 0
    try:
        main(["check", "trainer.accelerator=cpu", "progress=false", *arguments])
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    assert listing(Path.cwd()) == before
    error = printed.err
    if isinstance(status, str):
        status, error = 1, error + status + "\n"
    return status, printed.out, error


PHOTOS = ("data=folder", "data.path=photos", "data.labels=labels.csv", "data.image_size=16")


@pytest.mark.usefixtures("photos")
class TestPhotos:
    def test_what_is_known_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = check(capsys, *PHOTOS, "max_rounds=5")
        lines = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert status == 0
        assert lines["samples"] == "41, of which 11 in the pool, 1 more cannot be read"
        assert lines["'broken.jpg':"].startswith("cannot identify image file")
        assert lines["duplicates"].startswith("1 exact (40.png = 07.png), 0 near, of 41")
        assert lines["labels"] == "41 of 41 known"
        assert lines["validation"].startswith("20 samples")
        assert lines["model"].startswith("SmallCNN, ")
        assert lines["a"].startswith("round    about ")
        assert " for 5 rounds (checkpoint " in lines["disk"]
        assert out.splitlines()[-1].startswith("ready:")

    def test_copies_with_another_label_are_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = check(capsys, *PHOTOS, "data.val_size=0")
        assert "warning: 1 exact copies have another label" in out
        assert "such as 40.png and 07.png" in out

    def test_labels_that_a_simulation_needs_are_missing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, out, _ = check(capsys, *PHOTOS[:2], "data.classes=[cat,dog,cow]")
        assert status == 1
        assert "problem: a simulation needs the label of every sample, but 0 of 41" in out
        assert "ready" not in out

    @pytest.mark.parametrize("validation", ["auto", "none"])
    def test_people_need_no_labels(
        self, capsys: pytest.CaptureFixture[str], validation: str
    ) -> None:
        people = ("labelers=files", "budget=on_demand", f"validation={validation}")
        status, out, _ = check(capsys, *PHOTOS[:2], "data.classes=[cat,dog,cow]", *people)
        assert status == 0
        assert "labels     0 of 41 known" in out
        plan = {"auto": "20 samples, drawn at random, every third", "none": "0 samples, none"}
        assert f"validation {plan[validation]}" in out
        assert ("warning: without validation" in out) == (validation == "none")

    def test_a_class_without_labels_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = check(capsys, *PHOTOS, "data.classes=[cat,dog,cow]")
        assert "warning: no label of cow" in out

    def test_a_model_that_does_not_fit_is_a_problem(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, out, _ = check(capsys, *PHOTOS, "model=mlp", "model.in_features=5")
        assert status == 1
        assert "problem: a trial of training fails: RuntimeError: mat1 and mat2" in out

    def test_training_without_an_end_is_a_problem(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = check(capsys, *PHOTOS, "trainer.max_steps=-1")
        assert status == 1
        assert "problem: training never ends: set trainer.max_steps" in out


BAD = {
    "a folder that does not exist": (["data.path=nowhere"], "nowhere: expected a folder or a file"),
    "an empty folder": (["data.path=empty"], "empty: expected images, or one file with rows"),
    "no path": ([], "data.path"),
    "a class that is missing": (
        ["data.path=photos", "data.labels=labels.csv", "data.classes=[cat,cow]"],
        "'dog'] is not among the classes ['cat', 'cow']",
    ),
    "one class": (["data.path=photos", "data.classes=[cat]"], "expected 2 or more different names"),
    "no image that can be read": (["data.path=broken"], "none of 1 can"),
    "a label file without its columns": (
        ["data.path=photos", "data.labels=names.csv"],
        "names.csv: expected the columns sample_id and label, got name, kind",
    ),
    "a label file of other samples": (
        ["data.path=photos", "data.labels=others.csv"],
        "others.csv: sample ids 'x.png' are not in the data",
    ),
    "a label file that is not there": (
        ["data.path=photos", "data.labels=none.csv"],
        "none.csv: expected a CSV file in UTF-8",
    ),
    "a table without columns": (["data.path=bad.csv"], "bad.csv: expected"),
    "an unknown key": (["data.paht=x"], "there is no key 'data.paht'"),
}


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "a.jpg").write_bytes(b"no image")
    write(folder / "names.csv", [["name", "kind"], ["00.png", "cat"]])
    write(folder / "others.csv", [["sample_id", "label"], ["x.png", "cat"]])
    (folder / "bad.csv").write_text("")
    arguments, expected = BAD[case]
    status, out, error = check(capsys, "data=folder", *arguments)
    assert (status, out) == (1, "")
    errors = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert "Traceback" not in error


def test_data_that_are_no_folder_are_checked_too(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    status, out, _ = check(capsys, "strategy=bald")
    assert status == 0
    assert "samples    1,797, of which 1,427 in the pool" in out
    assert "ordering not known" in out

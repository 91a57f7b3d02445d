"""Run directories that somebody else made: links, and YAML that grows when it is read."""

import os
from pathlib import Path
from typing import Any

import pytest

from lightning_badge.embedding_folder import read_embedding_folder
from lightning_badge.exceptions import BadgeError, RunDirectoryError
from lightning_badge.labelers.label_studio.project import remembered_page
from lightning_badge.labelers.page.page_files import read_page
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.store.foreign_files import read_yaml
from lightning_badge.store.run_directory import RunDirectory


def contents(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder with files whose names are those of a run."""
    folder = tmp_path / "precious"
    for name in ("000/thesis.tex", "thesis.tex", "embedding.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *("run.lock", "labels.db", "labels.db-wal", "config.yaml", "rounds", "rounds/000"),
        *("rounds/000/embedding", "page", "features", "fine_tuned", "export", "query.csv"),
    ],
)
def test_a_link_is_refused_before_anything_is_written(
    tmp_path: Path, precious: Path, name: str
) -> None:
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    if name != "run.lock":
        (run / "run.lock").touch()
    (run / name).symlink_to(precious if "." not in name else precious / "thesis.tex")
    before = contents(precious)
    with (
        pytest.raises(RunDirectoryError, match=rf"{name}: expected no symbolic link"),
        RunDirectory(run) as directory,
    ):
        directory.clear_round(0)
    assert contents(precious) == before


def test_links_that_loggers_make_are_left_alone(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as run:
        logs = run.clear_round(0) / "wandb"
        logs.mkdir()
        (logs / "latest-run").symlink_to(tmp_path)
        run.checkpoint_path(0).with_name("last.ckpt").symlink_to("best.ckpt")
    with RunDirectory(run.path) as run:
        run.clear_round(0)
    assert tmp_path.is_dir()


def test_a_link_at_the_place_of_an_earlier_run_is_not_used(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as run:
        (tmp_path / "run.old-1").symlink_to(tmp_path / "nowhere")
        run.labels_path.write_text("labels")
        assert run.start_over() == tmp_path / "run.old-2"


def bomb(depth: int = 12, width: int = 9) -> str:
    lines = ["a0: &a0 [x]"]
    for n in range(1, depth):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]")
    return "\n".join(lines) + "\n"


HOSTILE = {
    "aliases": bomb().encode(),
    "merges": ("b: &b {k: 1}\n" + "c: {<<: [" + ", ".join(["*b"] * 40_000) + "]}\n").encode(),
    "loop": b"a: &a [*a]\n",
    "deep": b"[" * 5_000,
    "deep mapping": b"a: " + b"{a: " * 5000,
    "size": b"a: " + b"x" * 20_000_000,
    "object": b"a: !!python/object/apply:os.system ['true']\n",
    "date": b"a: 2026-99-99\n",
    "number": b"a: " + b"9" * 5000 + b"\n",
    "text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_configuration_is_an_error_in_one_short_line(tmp_path: Path, kind: str) -> None:
    with RunDirectory(tmp_path / "run") as run:
        run.config_path.write_bytes(HOSTILE[kind])
        with pytest.raises(RunDirectoryError, match=r"config\.yaml: ") as caught:
            run.ensure_identity({"seed": 0}, ["seed"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_few_aliases_are_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("classes: &c [cat, dog]\nagain: *c\n")
    assert read_yaml(tmp_path / "a.yaml") == {"classes": ["cat", "dog"], "again": ["cat", "dog"]}


def test_something_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="expected a file, got something else"):
        read_yaml(tmp_path / "config.yaml")


def test_what_is_written_has_no_aliases(tmp_path: Path) -> None:
    classes = ["cat", "dog"]
    with RunDirectory(tmp_path / "run") as run:
        run.ensure_identity({"seed": 0, "a": classes, "b": classes}, ["seed"])
        assert "&" not in run.config_path.read_text()


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("metrics.json", lambda run: RoundReport.of_file(run / "metrics.json")),
        ("page/page.json", read_page),
        ("label_studio.json", remembered_page),
        ("embedding/embedding.json", lambda run: read_embedding_folder(run / "embedding")),
    ],
)
def test_json_that_is_nested_too_deeply_is_one_line(tmp_path: Path, name: str, read: Any) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(DEEP)
    with pytest.raises(BadgeError) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600

"""The command as a shell sees it: help, errors in one line, subcommands found by file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from printed import printed_rounds

from lightning_badge.app.hydra_options import split_config_dir
from lightning_badge.app.main import main

SCREEN = (100, 45)  # columns and lines of an ordinary terminal


@pytest.fixture(autouse=True)
def path_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Returns exit status, standard output and standard error."""
    status: object = 0
    try:
        main(arguments)
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    if isinstance(status, str):  # what Python prints for `sys.exit("...")`
        return 1, printed.out, printed.err + status + "\n"
    return int(status or 0), printed.out, printed.err


HELPS = [
    ["--help"],
    *([name, "--help"] for name in ("check", "export", "label", "loop", "order", "status")),
]


@pytest.mark.parametrize("arguments", HELPS)
def test_help_fits_a_screen_and_shows_an_example(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) <= SCREEN[1]
    assert max(map(len, lines)) <= SCREEN[0]
    assert re.search(r"Examples?:\n +lightning-badge ", out)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", HELPS)
def test_help_imports_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from lightning_badge.app.main import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'lightning', 'hydra', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (
            ["ordr"],
            2,
            "no subcommand 'ordr', did you mean order?; there are budget, check, embed, export, ",
        ),
        (["order", "--kk", "3"], 2, "no option --kk, did you mean --k?"),
        (["order", "--k", "0"], 2, "'--k'"),
        (["order", "--field", "image", "--to", "csv"], 2, "expected NAME=VALUE, got 'image'"),
        (["order"], 1, "expected a pool: FILE, or --penultimate and --logits, or --module"),
        (["order", "--to", "cvs"], 1, "--to: expected one of argilla, csv, fiftyone"),
        (["order", "nowhere.parquet"], 1, "nowhere.parquet: expected a file, but there is none"),
        (["order", "--module", "a.B"], 1, "--module, --ckpt and --data together"),
        (["loop", "max_round=2"], 1, "there is no key 'max_round' in the configuration, did you "),
        (["loop", "budgte=fixed"], 1, "did you mean budget?"),
        (["loop", "budget=varable"], 1, "did you mean variable?"),
        (["loop", "--max-rounds", "2"], 1, "unknown option --max-rounds; values are set by max_"),
        (["loop", "--config-dir", "nowhere"], 1, "--config-dir: expected a folder"),
        (["loop", "seed=1", "-cd"], 1, "-cd: expected a folder behind it, got nothing"),
        (
            ["loop", "seed=1", "--cfg", "jobs"],
            1,
            "--cfg: expected one of job, hydra, all, got 'jobs'",
        ),
        (["loop", "-m", "seed=1,2", "--cfg", "job"], 1, "expected one of -m and --cfg, got both; "),
    ],
)
def test_a_wrong_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    status: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "--config-dir", "mine", "seed=1,2", "x=1"],
        ["seed=1,2", "--config-dir=mine", "x=1", "-m"],
        ["seed=1,2", "-m", "x=1", "-cd", "mine"],
    ],
)
def test_options_of_hydra_stand_anywhere(arguments: list[str]) -> None:
    assert split_config_dir(arguments) == ("mine", ["-m", "seed=1,2", "x=1"])


def test_options_between_overrides_reach_hydra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    status, out, err = run(capsys, "loop", "seed=7", "-c", "job", "max_rounds=3")
    assert (status, err) == (0, "")
    assert re.findall(r"^(seed|max_rounds): (\d)$", out, re.M) == [
        ("seed", "7"),
        ("max_rounds", "3"),
    ]


def execute(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "lightning_badge", *arguments],
        cwd=folder,
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_options_without_values_reach_hydra(tmp_path: Path) -> None:
    done = forked.run(tmp_path, "loop", "--info", "seed=7", "-p", "budget")
    assert done.status == 0
    assert "k:" in done.out


@pytest.mark.long
def test_a_shell_completes_groups_options_and_keys(tmp_path: Path) -> None:
    script = execute(tmp_path, "loop", "-sc", "install=bash").stdout
    assert "complete -o nospace -o default -F hydra_bash_completion lightning-badge" in script
    for line, expected in [
        ("lightning-badge loop budget=va", "budget=variable"),
        ("lightning-badge loop max_ro", "max_rounds="),
    ]:
        done = execute(tmp_path, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
        assert done.stdout.split() == [expected], done.stderr


@pytest.mark.slow
def test_the_loop_runs_outside_the_source_tree_with_a_folder_of_ones_own(tmp_path: Path) -> None:
    """A folder named by ``--config-dir`` replaces what the package has under the same name."""
    pytest.importorskip("sklearn")
    (tmp_path / "conf" / "budget").mkdir(parents=True)
    (tmp_path / "conf" / "budget" / "variable.yaml").write_text(
        "_target_: lightning_badge.FixedBudget\nk: 7\n"
    )
    done = forked.run(
        tmp_path,
        *("loop", "--config-dir", "conf", "budget=variable", "max_rounds=2", "run_dir=run"),
        *("trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.accelerator=cpu"),
    )
    assert (done.status, done.err) == (0, "")
    rounds = printed_rounds(done.out)
    assert [cells[:3] for cells in rounds] == [["000", "10", "7"], ["001", "17", "-"]]

"""What the arguments of the loop say about its page."""

import subprocess
import sys
from pathlib import Path

import pytest

from lightning_badge.app.supervise import plan as module
from lightning_badge.app.supervise.plan import Plan, plan_of, without_fresh
from lightning_badge.exceptions import BadgeError

PAGE = ["data=folder", "data.path=photos", "labelers=page", "budget=on_demand"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["labelers=dataset", "run_dir=page"],
        [*PAGE, "-m"],
        [*PAGE, "--cfg", "job"],
        ["labelers=page", "labelers.nothing=3"],
        ["labelers=pages"],
        [*PAGE, "--config-dir", "missing"],
    ],
)
def test_other_runs_have_no_plan(arguments: list[str]) -> None:
    assert plan_of(arguments) is None


def test_the_plan_is_what_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "folder-default-uherding-on_demand-seed0"
    assert plan_of(PAGE) == Plan(run, False, True, ("--host", "127.0.0.1"))
    more = ["run_dir=x", "fresh=true", "labelers.stay=false", "labelers.host=0.0.0.0"]
    more += ["labelers.port=9000", "labelers.certfile=c.pem", "labelers.keyfile=k.pem"]
    more += ["labelers.behind_proxy=https://a.example"]
    options = ("--host", "0.0.0.0", "--port", "9000", "--certfile", "c.pem", "--keyfile", "k.pem")
    assert plan_of([*PAGE, *more]) == Plan(
        tmp_path / "x", True, False, (*options, "--behind-proxy", "https://a.example")
    )


def test_an_own_configuration_may_choose_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /labelers: page\nrun_dir: /data/own\n"
    (folder / "mine.yaml").write_text(text)
    found = plan_of(["--config-dir", str(folder.parent), "experiment=mine"])
    assert found
    assert found.run_path == Path("/data/own").resolve()


def test_missing_packages_are_one_line_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.find_spec
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name in ("uvicorn", "starlette") else real(name)
    )
    with pytest.raises(BadgeError, match=r"needs starlette, uvicorn: pip install .*\[page\]"):
        plan_of(PAGE)


def test_a_run_that_goes_on_is_not_moved_aside_again() -> None:
    assert without_fresh(["fresh=true", "a=b", "+fresh=1"]) == ["a=b", "fresh=false"]


@pytest.mark.slow
def test_the_supervisor_needs_no_torch() -> None:
    code = (
        "import sys; from lightning_badge.app.supervise.plan import plan_of; "
        "import lightning_badge.app.supervise.supervisor; import lightning_badge.app.main; "
        f"assert plan_of({PAGE!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Keys and tokens of a whole run stand in none of its files, and in nothing that it prints."""

from pathlib import Path
from typing import Any

import pytest
from secret_places import files_with
from services import running

from lightning_badge.app.main import main
from lightning_badge.app.run_loop import run_loop

pytest.importorskip("httpx")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow

KEY, USER = "sk-very-secret-4711", "hidden-user-4712"
QUICK = [
    *("trainer.max_steps=10", "trainer.val_check_interval=10", "trainer.accelerator=cpu"),
    *("progress=false", "run_dir=run", "max_rounds=2", "budget.k=3", "export=false"),
]


@pytest.mark.parametrize("labelers", ["service", "chat"])
def test_no_file_and_no_output_holds_a_key(
    labelers: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setenv("A_USER", USER)
    bodies: list[Any] = []

    def answer(body: Any) -> Any:
        bodies.append(body)
        if labelers == "service":
            return {"label": "3"}
        return {"choices": [{"message": {"content": "3"}}]}

    more = []
    if labelers == "chat":
        more = ["labelers.model=stand-in", "labelers.options={user:'${oc.env:A_USER}'}"]
    with running(answer) as url:
        command = [f"labelers={labelers}", f"labelers.url={url}", "labelers.key=A_KEY", *more]
        run_loop([*command, *QUICK])
        monkeypatch.setenv("A_USER", "another-user-4713")
        run_loop([*command, *QUICK])  # another token is no other run
    for subcommand in ("status", "export"):
        main([subcommand, "run"])
    assert len(bodies) == 3
    if labelers == "chat":
        assert {body["user"] for body in bodies} == {USER}
        assert "user: ${oc.env:A_USER}" in (tmp_path / "run" / "config.yaml").read_text()
    printed = "".join(capfd.readouterr()) + caplog.text
    for secret in (KEY, USER):
        assert files_with(secret, tmp_path) == set()
        assert secret not in printed


def test_an_error_that_names_a_token_is_shown_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_USER", USER)
    with pytest.raises(SystemExit) as ended:
        run_loop([*QUICK, "strategy.name=${oc.env:A_USER}"])
    assert str(ended.value.code).startswith(
        "error: BadgeCallback: strategy: expected one of badge, "
    )
    assert "${oc.env:A_USER}" in str(ended.value.code)
    assert USER not in str(ended.value.code)

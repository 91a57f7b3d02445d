"""Values of the environment stay out of files and messages."""

import logging
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors

import pytest
from omegaconf import OmegaConf

from lightning_badge.app.environment import HideValues, hidden, resolved, unresolved, watch
from lightning_badge.exceptions import LabelError, RunDirectoryError
from lightning_badge.store.run_directory import RunDirectory

TOKEN = "s3cret/with+slashes=="


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", TOKEN)
    monkeypatch.setenv("A_FOLDER", str(Path(__file__).parent))
    monkeypatch.delenv("NOT_SET", raising=False)


def config() -> Any:
    return OmegaConf.create(
        {
            "token": "${oc.env:A_TOKEN}",
            "indirect": "${token}",
            "header": "Bearer ${oc.env:A_TOKEN}!",
            "count": "${oc.decode:${oc.env:NOT_SET,3}}",
            "none": "${oc.env:NOT_SET,null}",
            "deep": [{"copy": "${header}"}],
            "group": "${deep}",
            "plain": 7,
        }
    )


def test_the_text_stands_for_the_value_wherever_it_goes() -> None:
    assert unresolved(config()) == {
        "token": "${oc.env:A_TOKEN}",
        "indirect": "${oc.env:A_TOKEN}",
        "header": "Bearer ${oc.env:A_TOKEN}!",
        "count": "${oc.decode:${oc.env:NOT_SET,3}}",
        "none": "${oc.env:NOT_SET,null}",
        "deep": [{"copy": "Bearer ${oc.env:A_TOKEN}!"}],
        "group": [{"copy": "Bearer ${oc.env:A_TOKEN}!"}],
        "plain": 7,
    }


def test_what_is_stored_gives_the_values_again() -> None:
    plain = OmegaConf.to_container(config(), resolve=True)
    assert resolved(unresolved(config())) == plain
    assert plain["token"] == TOKEN
    assert plain["count"] == 3


def test_other_references_of_a_stored_configuration_stay_text() -> None:
    assert resolved({"prompt": "costs ${price}"}) == {"prompt": "costs ${price}"}


def test_a_variable_that_is_not_set_is_one_line() -> None:
    with pytest.raises(RunDirectoryError, match=r"\$\{oc.env:NOT_SET\}.*NOT_SET.*export it$") as e:
        resolved({"data": {"token": "${oc.env:NOT_SET}"}})
    assert "\n" not in str(e.value)


def test_messages_and_logs_name_the_variable(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    watch()
    OmegaConf.to_container(config(), resolve=True)
    assert hidden(f"401 for {TOKEN}") == "401 for ${oc.env:A_TOKEN}"
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise LabelError(f"refused: {TOKEN}")
    assert str(caught.value.code) == "error: refused: ${oc.env:A_TOKEN}"
    caplog.handler.addFilter(HideValues())
    logging.getLogger("elsewhere").warning("sent %s to %d", TOKEN, 7)
    assert caplog.messages == ["sent ${oc.env:A_TOKEN} to 7"]
    assert TOKEN not in caplog.text


def test_folders_are_no_secrets() -> None:
    watch()
    assert OmegaConf.create({"a": "${oc.env:A_FOLDER}"}).a in hidden(f"{Path(__file__)}")


def identity(run: RunDirectory, **changes: Any) -> None:
    given = {"seed": 0, "model": {"token": "${oc.env:A_TOKEN}", "width": 8}}
    run.ensure_identity({**given, **changes}, ["seed", "model"])


def test_another_token_is_no_other_run(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as run:
        identity(run, model={"token": "resolved by an earlier version", "width": 8})
        identity(run)
        assert "earlier" not in run.config_path.read_text()
        identity(run, model={"token": "another", "width": 8})
        identity(run)
        with pytest.raises(RunDirectoryError, match=r"\(model.width: stored 8, now 9\)"):
            identity(run, model={"token": "another", "width": 9})


@pytest.mark.parametrize(
    ("key", "value", "is_private"),
    [
        ("token", "abc", True),
        ("hf_token", "abc", True),
        ("apikey", "abc", True),
        ("API_KEY", "abc", True),
        ("password", "abc", True),
        ("proxy", "https://ann:pw@example.org", True),
        ("token", "${oc.env:A_TOKEN}", False),
        ("token", None, False),
        ("key", "OPENAI_API_KEY", False),
        ("keyfile", "key.pem", False),
        ("tokens", 5, False),
        ("proxy", "https://example.org:8080/a@b", False),
    ],
)
def test_a_secret_that_was_written_down_is_private_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, value: Any, is_private: bool
) -> None:
    with RunDirectory(tmp_path / "run") as run:
        run.ensure_identity({"seed": 0, "data": {key: value}}, ["seed"])
    assert (run.config_path.stat().st_mode & 0o077 == 0) == is_private
    assert len(caplog.messages) == is_private
    if is_private:
        assert f"data.{key}" in caplog.text
        assert str(value) not in caplog.text

"""The commands and configurations of README and site are valid: programs, options, keys, extras."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from packaging.requirements import Requirement

from lightning_badge.app.main import group

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
# Programs that are not ours.
OTHERS = {".", "cd", "docker", "export", "pre-commit", "pytest", "python3", "srun", "torchrun"}
# Scripts with a configuration; the others have options.
CONFIGS = {"al_loop": "al_loop", "compare_strategies": "compare_strategies"}
CONFIGS["reproduce_mnist"] = "reproduce_mnist"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page: str) -> Iterator[list[str]]:
    """Yields the words of each command of a page."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for end in ("&&", "&"):
                while end in words:
                    before, words = words[: words.index(end)], words[words.index(end) + 1 :]
                    yield before
            if words:
                yield words


COMMANDS = {
    f"{page}: {' '.join(words)}": words for page in sorted(PAGES) for words in commands(page)
}


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_is_valid(name: str) -> None:
    program, *rest = COMMANDS[name]
    if program == "lightning-badge":
        check_ours(rest)
    elif program in ("torchrun", "srun"):
        assert "lightning_badge" in rest
        check_ours(rest[rest.index("lightning_badge") + 1 :])
    elif program == "pip":
        check_extras(rest)
    elif program in ("python", "bash", "sphinx-build"):
        check_script(rest)
    else:
        assert program in OTHERS


def check_ours(words: list[str]) -> None:
    name, *arguments = words
    command = group.get_command(click.Context(group), name)
    assert command is not None, name
    if name in ("loop", "check"):
        check_overrides("al_loop", arguments)
    else:
        command.make_context(name, arguments)  # parses


def check_overrides(config: str, overrides: list[str]) -> None:
    one_of_each = [re.sub(r"^(seed=\d+),[\d,]+$", r"\1", word) for word in overrides]
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        compose(config, [word for word in one_of_each if word != "--multirun"])


def check_extras(words: list[str]) -> None:
    tomllib: Any = pytest.importorskip("tomllib", reason="Python 3.11 or later reads TOML")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if found := re.search(r"\[.*\]", word):
            used = Requirement(f"x{found[0]}").extras
            assert used
            assert used <= {*extras["optional-dependencies"]}


def check_script(words: list[str]) -> None:
    path, *arguments = words
    assert (ROOT / path).is_file()
    if Path(path).stem in CONFIGS:
        check_overrides(CONFIGS[Path(path).stem], arguments)
        return
    source = (ROOT / path).read_text(encoding="utf-8")
    for option in re.findall(r"--[a-z-]+", " ".join(arguments)):
        assert option in source, f"{path} has no {option}"


@pytest.mark.parametrize(
    ("number", "experiment"), [(0, "changing_hours"), (1, "priorities")], ids=["team", "priorities"]
)
def test_the_yaml_about_budgets_has_keys_of_the_configuration(number: int, experiment: str) -> None:
    given = OmegaConf.create(blocks("docs/budgets.md", "yaml")[number])
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose("al_loop", [f"experiment={experiment}"])
    for key, value in given.items():
        if OmegaConf.is_dict(value):
            assert {*value} <= {*config[key]}
        else:
            assert key in config


def test_a_model_of_ones_own_folder_of_configurations(tmp_path: Path) -> None:
    model, _ = blocks("docs/configuration.md", "yaml")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text(model)
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        search = f"hydra.searchpath=[file://{tmp_path}]"
        config = compose("al_loop", [search, "model=mine"])
    assert config.model._target_ == "my_project.Net"


def test_the_callback_in_ones_own_application(tmp_path: Path) -> None:
    _, train = blocks("docs/configuration.md", "yaml")
    (tmp_path / "train.yaml").write_text(train)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("train", ["callbacks.badge.strategy=coreset"])
    assert config.callbacks.badge.strategy == "coreset"

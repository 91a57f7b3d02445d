"""Every option of every config group composes and can be instantiated; a typo is an error."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, MissingConfigException
from hydra.utils import get_class, instantiate
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from tiny import LIGHTNING_WARNINGS

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.ordering import STRATEGIES, Ordering

pytestmark = LIGHTNING_WARNINGS

CONFIGS = Path(__file__).parent.parent / "configs"

Compose = Callable[..., DictConfig]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@pytest.fixture
def composed() -> Iterator[Compose]:
    """Composes as the script does, with the round and the properties of the data set."""

    def compose_with(*overrides: str, round: int | None = 3) -> DictConfig:
        config = compose("al_loop", list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        config.classes, config.in_channels, config.in_features = 10, 1, 64
        if round is not None:
            config.round = {"number": round, "seed": 5, "directory": "rounds/003"}
        return config

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield compose_with


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set with the layout of ``ylecun/mnist``."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        image=datasets.Image(),
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=[str(n) for n in range(10)]),
    )
    images = torch.randint(256, (30, 28, 28), dtype=torch.uint8).numpy()
    labels = [n % 10 for n in range(30)]
    rows = {"image": list(images), "text": [f"the digit {n}" for n in labels], "label": labels}
    table = datasets.Dataset.from_dict(rows, features=features)
    for split in ("train", "test"):
        table.to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    return tmp_path


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """A file of texts with ten classes."""
    path = tmp_path / "messages.csv"
    rows = [f"message {n} about the class {n % 10},{n % 10}" for n in range(60)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "badge"),
        (["data=tabular"], "badge"),
        (["data=folder"], "uherding"),
        (["data=folder", "model=frozen"], "uherding"),
        (["data=folder", "strategy=badge"], "badge"),
        (["strategy=random", "data=folder"], "random"),
        (["experiment=banking"], "uherding"),
    ],
)
def test_the_strategy_is_that_of_the_data_unless_given(
    composed: Compose, overrides: list[str], name: str
) -> None:
    assert composed(*overrides).strategy.name == name


def test_every_group_has_a_default_option() -> None:
    # Python's cache lies there once the configurations were imported as a package.
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()} - {"__pycache__"}
    entries = OmegaConf.load(CONFIGS / "al_loop.yaml").defaults
    named = {next(iter(entry)): entry[next(iter(entry))] for entry in entries if entry != "_self_"}
    assert named.keys() == groups
    assert all(option in [*options(group), None] for group, option in named.items())


# Data sets that need a path read the folder; all others are included in a library.
NEED_PATH = ("huggingface", "mnist", "text")
CLASSES = {"scipy_topics": 9, "tabular": 2}


@pytest.mark.slow
@pytest.mark.parametrize("data", options("data"))
def test_data(composed: Compose, folder: Path, messages: Path, data: str) -> None:
    paths = {**dict.fromkeys(NEED_PATH, folder), "folder": messages}
    overrides = [f"data.path={paths[data]}"] if data in paths else []
    datamodule = instantiate(composed(f"data={data}", "initial_labels=12", *overrides).data)
    assert isinstance(datamodule, ActiveLearningDataModule)
    assert len(datamodule.labeled_ids) == 12
    assert len(datamodule.class_names) == CLASSES.get(data, 10)


@pytest.mark.parametrize("model", options("model"))
def test_models_have_an_output_per_class(
    composed: Compose, folder: Path, messages: Path, model: str
) -> None:
    needed = {"transformer": ("text", folder)}
    needed |= dict.fromkeys(["default", "ngrams"], ("folder", messages))
    name, path = needed.get(model, ("digits", None))
    config = composed(f"model={model}", f"data={name}", *([f"data.path={path}"] if path else []))
    config.kind = "texts"
    batch = next(iter(instantiate(config.data).pool_dataloader())).batch
    built = instantiate(config.model)
    assert isinstance(built, LightningModule)
    logits, targets = built.logits_and_targets(batch)
    assert logits.shape == (len(targets), 10)


@pytest.mark.parametrize("trainer", options("trainer"))
def test_trainers(composed: Compose, trainer: str) -> None:
    config = composed(f"trainer={trainer}").trainer
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        assert set(config) - {"_target_", "_convert_"} <= set(inspect.signature(Trainer).parameters)
        return
    built = instantiate(config, logger=False)
    assert isinstance(built, Trainer)
    assert built.num_devices == (2 if trainer == "ddp_cpu" else 1)


def test_the_callbacks_of_other_applications_need_nothing_of_this_configuration() -> None:
    alone = OmegaConf.load(CONFIGS / "callbacks" / "badge.yaml")
    badge: Any = instantiate(alone)["badge"]
    assert isinstance(badge, BadgeCallback)
    assert (badge.strategy, badge.k, badge.dirpath) == ("badge", None, None)


# Those of other applications are tested above.
@pytest.mark.parametrize("callbacks", sorted({*options("callbacks")} - {"badge"}))
def test_callbacks_write_to_the_folder_of_their_round(composed: Compose, callbacks: str) -> None:
    built: dict[str, Callback] = instantiate(composed(f"callbacks={callbacks}").callbacks)
    badge: Any = built["badge"]
    assert isinstance(badge, BadgeCallback)
    assert (badge.round, badge.seed, badge.dirpath) == (3, 5, "rounds/003")
    assert badge.schedule.when == "never"
    checkpoint: Any = built["checkpoint"]
    assert Path(checkpoint.dirpath) == Path.cwd() / "rounds/003"
    assert (checkpoint.filename, checkpoint.monitor) == ("best", "val/accuracy")


@pytest.mark.parametrize("logger", options("logger"))
def test_loggers_accept_their_configuration(composed: Compose, logger: str) -> None:
    config = OmegaConf.to_container(composed(f"logger={logger}").logger, resolve=True)
    if logger == "none":
        assert config == {}
        return
    built = get_class(config.pop("_target_"))  # the class only: some loggers need a missing package
    inspect.signature(built).bind(**config)
    assert issubclass(built, Logger)
    assert logger == "mlflow" or config["save_dir"] == "rounds/003"


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_loggers_write_into_the_folder_of_the_round(composed: Compose, logger: str) -> None:
    if logger == "tensorboard":
        pytest.importorskip("tensorboard")
    assert instantiate(composed(f"logger={logger}").logger).log_dir == "rounds/003/logs"


def test_every_strategy_has_an_option() -> None:
    assert options("strategy") == sorted(STRATEGIES)


@pytest.mark.parametrize("strategy", options("strategy"))
def test_strategies_reach_the_callback(composed: Compose, strategy: str) -> None:
    callback = instantiate(composed(f"strategy={strategy}").callbacks.badge)
    assert callback.strategy == strategy


def test_the_first_center_reaches_the_callback(composed: Compose) -> None:
    config = composed("strategy.first_center=max_norm")
    arguments = instantiate(config.callbacks.badge).strategy_args
    assert arguments == {"first_center": "max_norm", "trials": 1}


def test_the_depth_reaches_the_callback(composed: Compose) -> None:
    config = composed("strategy=batchbald", "strategy.depth=40", "strategy.posterior_samples=9")
    callback = instantiate(config.callbacks.badge)
    assert callback.strategy_args == {"depth": 40, "configurations": 1000}
    assert callback.posterior_samples == 9


def test_an_unknown_key_of_a_strategy_is_an_error(composed: Compose) -> None:
    with pytest.raises(ConfigCompositionException, match=r"Could not override 'strategy.depth'"):
        composed("strategy=entropy", "strategy.depth=40")


@pytest.mark.parametrize("budget", options("budget"))
def test_budgets(composed: Compose, budget: str) -> None:
    needed = {"deadline": ["budget.at=2026-12-01T18:00+01:00"]}.get(budget, [])
    built = instantiate(composed(f"budget={budget}", "seed=7", *needed).budget)
    ordering = Ordering(np.arange(1000), coverage=np.linspace(0, 1, 1000, dtype=np.float32))
    assert built.query_size(round=0, labeled=10, pool=1000, ordering=ordering) > 0
    assert getattr(built, "seed", 7) == 7


@pytest.mark.parametrize("labelers", options("labelers"))
def test_labelers_are_built_for_a_datamodule_and_a_run_directory(
    composed: Compose, tmp_path: Path, labelers: str
) -> None:
    labels = [n % 2 for n in range(9)]
    data = [(torch.full((1, 4, 4), n / 9), label) for n, label in enumerate(labels)]
    datamodule = ActiveLearningDataModule(
        data, initial_labeled=3, labels=labels, class_names=["even", "odd"]
    )
    built = instantiate(composed(f"labelers={labelers}").labelers)(datamodule, tmp_path)
    assert callable(built.publish)
    assert list(built.collect()) == []
    built.close()


@pytest.mark.parametrize("experiment", options("experiment"))
def test_experiments_have_their_own_run_directories(composed: Compose, experiment: str) -> None:
    config = composed(f"experiment={experiment}", "seed=4", "strategy=random")
    assert config.run_dir == f"runs/{experiment}-random-seed4"
    assert instantiate(config.budget)
    assert instantiate(config.callbacks)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_can_be_compared(composed: Compose, experiment: str) -> None:
    comparison = compose("compare_strategies", [f"experiment={experiment}"])
    assert set(comparison.strategies) <= STRATEGIES.keys()
    assert comparison.baseline in [None, *comparison.strategies]
    for settings in comparison.budgets.values() or [[]]:
        assert instantiate(composed(f"experiment={experiment}", *settings).budget)


@pytest.mark.parametrize("experiment", [name for name in options("experiment") if "mnist" in name])
def test_the_data_of_experiments_with_mnist(
    composed: Compose, folder: Path, experiment: str
) -> None:
    splits = ("data.train_split=train", "data.val_split=test")
    config = composed(f"experiment={experiment}", f"data.path={folder}", *splits)
    datamodule = instantiate(config.data)
    assert isinstance(datamodule, ActiveLearningDataModule)
    assert len(datamodule.labeled_ids) == config.initial_labels


@pytest.mark.slow
def test_the_initial_labels_depend_only_on_the_seed(
    composed: Compose,
) -> None:
    strategies, budgets = options("strategy"), itertools.cycle(options("budget"))
    assert len(strategies) >= len(options("budget"))  # so that each budget takes part
    choices = [
        (f"strategy={strategy}", f"budget={budget}")
        for strategy, budget in zip(strategies, budgets, strict=False)
    ]
    data = [composed(*choice, "seed=7").data for choice in choices]
    plain = [OmegaConf.to_container(config, resolve=True) for config in data]
    assert all(config == plain[0] for config in plain)
    seeds = (data[0], data[1], composed("seed=8").data)
    first, again, other = (instantiate(config).labeled_ids.tolist() for config in seeds)
    assert first == again != other


def test_the_run_directory_is_named_after_the_choices(composed: Compose) -> None:
    config = composed("model=mlp", "strategy=margin", "budget=variable", "seed=3", "paths.runs=/r")
    assert config.run_dir == "/r/digits-mlp-margin-variable-seed3"


def test_hydra_creates_no_folders_and_keeps_the_working_directory(composed: Compose) -> None:
    hydra = composed().hydra
    assert (hydra.run.dir, hydra.sweep.dir, hydra.sweep.subdir) == (".", "runs", ".")
    assert hydra.output_subdir is None
    assert hydra.job.chdir is False


@pytest.mark.parametrize("group", ["data", "model", "strategy", "budget", "labelers", "trainer"])
def test_an_unknown_option_is_an_error(composed: Compose, group: str) -> None:
    with pytest.raises(MissingConfigException, match="Available options"):
        composed(f"{group}=nope")


@pytest.mark.parametrize(
    "override",
    ["sead=1", "budget.typo=3", "data.typo=3", "callbacks.badge.typo=3", "trainer.typo=1"],
)
def test_an_unknown_key_is_an_error(composed: Compose, override: str) -> None:
    with pytest.raises(ConfigCompositionException, match="Could not override"):
        composed(override)

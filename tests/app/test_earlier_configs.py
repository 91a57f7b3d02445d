from pathlib import Path
from typing import Any

import yaml

from lightning_badge.app.earlier_configs import upgraded

RUN_V1 = Path(__file__).parent.parent / "data" / "run_v1" / "config.yaml"
FOLDER = "lightning_badge.datamodule.folder.folder"


def test_a_run_with_an_oracle_has_labelers() -> None:
    stored = yaml.safe_load(RUN_V1.read_text())
    config = upgraded(stored)
    assert "oracle" not in config
    assert config["labelers"]["_target_"] == "lightning_badge.labelers.dataset.for_run"
    assert config["labelers"]["skip_fraction"] == 0.2
    assert config["data"] == stored["data"]


def test_keys_that_came_later_have_the_value_that_means_what_was_before() -> None:
    config: Any = upgraded({"data": {"_target_": FOLDER, "path": "a"}})
    assert config["data"] == {"validation": "auto", "_target_": FOLDER, "path": "a"}
    assert config["cold_start"] == "kmeans_pp"
    config = upgraded({"strategy": {"name": "badge", "first_center": "max_norm"}})
    assert config["strategy"] == {"name": "badge", "first_center": "max_norm", "trials": 1}


def test_a_configuration_of_this_version_stays_as_it_is() -> None:
    config = {
        "cold_start": "random",
        "data": {"_target_": FOLDER, "validation": "none"},
        "labelers": {"_target_": "lightning_badge.labelers.files.for_run"},
    }
    assert upgraded(config) == config

"""Models of Hugging Face ``transformers``: where their files are, and how they are loaded."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lightning_badge.exceptions import EncoderError

INSTALL = 'pip install "lightning-badge[encoders]"'
PACKAGE = "package:"


@dataclass(frozen=True)
class Loaded:
    """A model with its facts.

    Attributes:
        module: The network, in evaluation mode.
        config: Its configuration.
        files: Folder of its files; None if it is not known.
        has_all_weights: Whether the checkpoint has all weights; only those of the pooler may miss.
        has_cls: Whether it has a CLS token.
    """

    module: nn.Module
    config: Any
    files: Path | None
    has_all_weights: bool
    has_cls: bool


def is_installed() -> bool:
    """Returns whether ``transformers`` is installed."""
    return importlib.util.find_spec("transformers") is not None


def location_of(name: str) -> str:
    """Returns a folder or a name on the Hub.

    Args:
        name: A folder, a name on the Hub, or ``package:NAME/FOLDER``, a folder in a Python package.

    Raises:
        EncoderError: The package is not installed, or has no such folder.
    """
    if not name.startswith(PACKAGE):
        return name
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(
            f"encoder={name}: the package {package} is not installed; "
            f"pip install {package.replace('_', '-')}"
        )
    folder = Path(spec.submodule_search_locations[0]) / inside
    if not (folder / "config.json").is_file():
        raise EncoderError(f"encoder={name}: expected a model in {folder}, found no config.json")
    return str(folder)


def is_at_hand(name: str) -> bool:
    """Returns whether an encoder can be loaded without a download."""
    try:
        location = location_of(name)
    except EncoderError:
        return False
    if Path(location).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(location, "config.json"), str) and any(
        isinstance(try_to_load_from_cache(location, weights), str)
        for weights in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    )


def load(name: str, *, local: bool) -> Loaded:
    """Loads a model.

    Args:
        name: As for `location_of`.
        local: Whether to use only what is on this machine.

    Raises:
        EncoderError: ``transformers`` is not installed, or the model cannot be loaded.
    """
    if not is_installed():
        raise EncoderError(f"encoder={name}: needs transformers; {INSTALL}")
    from transformers import AutoModel

    location = location_of(name)
    with _quiet():
        module, info = in_one_line(
            name,
            lambda: AutoModel.from_pretrained(
                location, local_files_only=local, output_loading_info=True
            ),
        )
    missing = sorted(info["missing_keys"])
    config = module.config
    if getattr(config, "is_encoder_decoder", False):
        module = module.get_encoder()
    if hasattr(module, "vision_model"):  # of texts and images: the part for images
        module = module.vision_model
        config = getattr(config, "vision_config", config)
    if others := [key for key in missing if "pooler" not in key]:
        raise EncoderError(
            f"encoder={name}: expected all weights in the checkpoint, but {len(others)} are "
            f"missing, such as {others[0]}"
        )
    names = [key for key, _ in module.named_parameters()]
    has_cls = any(key.endswith(("cls_token", "class_embedding")) for key in names)
    frozen = module.eval().requires_grad_(False)
    return Loaded(frozen, config, _files(location), not missing, has_cls)


def _files(location: str) -> Path | None:
    if Path(location).is_dir():
        return Path(location)
    from huggingface_hub import try_to_load_from_cache

    for name in ("modules.json", "config.json"):
        if isinstance(found := try_to_load_from_cache(location, name), str):
            return Path(found).parent
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the bar and the report of weights, of which `load` says what matters."""
    from transformers.utils import logging as library

    level, had_bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if had_bar:
            library.enable_progress_bar()


def in_one_line(name: str, load: Callable[[], Any]) -> Any:
    """Returns what ``load`` returns; an error of the libraries becomes one line."""
    try:
        return load()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise EncoderError(
            f"encoder={name}: expected a model of Hugging Face transformers (a folder, or a name "
            f"on the Hub that is in the cache or can be downloaded): {reason[:300]}"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the contents of a JSON file; nothing if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

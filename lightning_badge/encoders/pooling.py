"""How one vector is made of the many that a Hugging Face model returns for a sample.

The rule of ``auto``: what the model's own files say (``modules.json`` of sentence-transformers);
else the mean over tokens for texts; else, for images, the model's pooled output if its weights are
in the checkpoint, the CLS token if the model has one, and the mean over patches if it has none.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional

from lightning_badge.exceptions import EncoderError

POOLINGS = {
    "mean": "mean over tokens",
    "cls": "CLS token",
    "pooled": "the model's pooled output",
}


@dataclass(frozen=True)
class Pooling:
    """How one vector is made of a sample.

    Attributes:
        name: A key of `POOLINGS`.
        normalize: Whether vectors are divided by their length.
        reason: Why this one, in a few words.
    """

    name: str
    normalize: bool
    reason: str

    def __str__(self) -> str:
        length = ", of length one" if self.normalize else ""
        return f"{POOLINGS[self.name]}{length} ({self.reason})"

    def __call__(self, output: Any, mask: Tensor | None) -> Tensor:
        """Returns features ``[b, width]``.

        Args:
            output: What the model returned.
            mask: Which tokens are not padding, ``[b, l]``; None if all are.
        """
        if self.name == "pooled":
            features: Tensor = output.pooler_output.flatten(1)
        else:
            hidden: Tensor = output.last_hidden_state
            if hidden.ndim == 4:  # channels and two dimensions of positions
                hidden = hidden.flatten(2).transpose(1, 2)
            features = hidden[:, 0] if self.name == "cls" else _mean(hidden, mask)
        return functional.normalize(features, dim=1) if self.normalize else features


def choose_pooling(
    asked: str, *, files: Path | None, kind: str, has_pooled: bool, has_cls: bool
) -> Pooling:
    """Returns the pooling that was asked for, or what the rule of this module says.

    Args:
        asked: A key of `POOLINGS`, or ``auto``.
        files: Folder of the model; None if it is not known.
        kind: ``texts`` or ``images``.
        has_pooled: Whether the model returns a pooled output with weights of the checkpoint.
        has_cls: Whether the model has a CLS token.

    Raises:
        EncoderError: An unknown pooling, or one that this model does not have.
    """
    if asked not in ("auto", *POOLINGS):
        raise EncoderError(f"encoding.pooling: expected auto, {', '.join(POOLINGS)}, got {asked!r}")
    if asked == "pooled" and not has_pooled:
        raise EncoderError(
            "encoding.pooling=pooled: this model has no pooled output; use mean or cls"
        )
    if asked != "auto":
        return Pooling(asked, False, "encoding.pooling")
    if files is not None and (own := _of_sentence_transformers(files)) is not None:
        return own
    if kind == "texts":
        return Pooling("mean", False, "the rule for texts")
    if has_pooled:
        return Pooling("pooled", False, "its weights are in the checkpoint")
    if has_cls:
        return Pooling("cls", False, "no pooled output in the checkpoint")
    return Pooling("mean", False, "neither pooled output nor CLS token")


def _of_sentence_transformers(files: Path) -> Pooling | None:
    """Returns the pooling of ``modules.json``; None if there is no such file."""
    try:
        modules = json.loads((files / "modules.json").read_text(encoding="utf-8"))
        kinds = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
        if "Pooling" not in kinds:
            return None
        config = json.loads((files / kinds["Pooling"] / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{files / 'modules.json'}: cannot be read: {error!r}") from error
    if others := set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        raise EncoderError(
            f"{files / 'modules.json'}: expected Transformer, Pooling and Normalize, got also "
            f"{', '.join(sorted(others))}; set encoding.pooling=mean or cls to leave them out"
        )
    chosen = [name for name, value in config.items() if name.startswith("pooling_mode") and value]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    known |= {"mean": "mean", "cls": "cls"}  # a newer version has one key: pooling_mode
    if chosen == ["pooling_mode"]:
        chosen = [config["pooling_mode"]]
    if len(chosen) != 1 or chosen[0] not in known:
        raise EncoderError(
            f"{files}: expected pooling by mean or cls, got {', '.join(map(str, chosen)) or 'none'}"
            "; set encoding.pooling=mean or cls"
        )
    return Pooling(known[chosen[0]], "Normalize" in kinds, "its modules.json")


def _mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return hidden.mean(dim=1)
    is_token = mask.unsqueeze(2).to(hidden)
    return (hidden * is_token).sum(dim=1) / is_token.sum(dim=1).clamp(min=1)

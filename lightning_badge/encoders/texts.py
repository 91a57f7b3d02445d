"""A Hugging Face text model as an encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_badge.encoders.hugging_face import in_one_line, load, location_of, read_json
from lightning_badge.encoders.pooling import choose_pooling
from lightning_badge.exceptions import EncoderError
from lightning_badge.module_digest import digest_of_module

_LONGEST = 512  # tokens, where neither model nor tokenizer says
_AT_ONCE = 1000


class TextEncoder:
    """Tokenizer, model and pooling for texts.

    Args:
        name: A folder, a name on the Hub, or ``package:NAME/FOLDER``.
        pooling: ``auto``, ``mean``, ``cls`` or ``pooled``.
        max_length: Tokens that texts are truncated to; None takes what the model's files say
            (``max_seq_length`` of sentence-transformers), else the model's limit, at most 512.
        batch_size: Texts in a batch.
        device: Where the model runs.
        local: Whether to use only what is on this machine.

    Raises:
        EncoderError: The model cannot be loaded, or is not one for texts.
    """

    def __init__(
        self,
        name: str,
        *,
        pooling: str = "auto",
        max_length: int | None = None,
        batch_size: int = 64,
        device: torch.device | str = "cpu",
        local: bool = False,
    ) -> None:
        from transformers import AutoTokenizer

        self.name, self.batch_size = name, batch_size
        loaded = load(name, local=local)
        self.module = loaded.module.to(device)
        self._tokenizer = in_one_line(
            name,
            lambda: AutoTokenizer.from_pretrained(location_of(name), local_files_only=local),
        )
        self._tokenizer.padding_side = "right"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        own = {} if loaded.files is None else read_json(loaded.files / "sentence_bert_config.json")
        limits = [
            own.get("max_seq_length"),
            self._tokenizer.model_max_length,
            getattr(loaded.config, "max_position_embeddings", None),
            _LONGEST,
        ]
        self.max_length = max_length or min(limit for limit in limits if limit)
        output = self._output(self.collate(["a text"]))
        has_pooled = getattr(output, "pooler_output", None) is not None and loaded.has_all_weights
        self._pool = choose_pooling(
            pooling, files=loaded.files, kind="texts", has_pooled=has_pooled, has_cls=True
        )
        self.width = self.embed(self.collate(["a text"])).shape[1]

    @property
    def pooling(self) -> str:
        """How one vector is made of a text, in words."""
        return f"{self._pool}, at most {self.max_length} tokens"

    def fingerprint(self) -> str:
        """Returns a digest of weights, tokenizer and pooling."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        words = sorted(self._tokenizer.get_vocab().items()) if backend is None else backend.to_str()
        facts = (self._pool.name, self._pool.normalize, self.max_length, words)
        return digest_of_module(self.module, *facts)

    def lengths(self, samples: Sequence[str]) -> list[int]:
        """Returns the number of tokens of each text."""
        return [
            len(tokens)
            for start in range(0, len(samples), _AT_ONCE)
            for tokens in self._tokenize(samples[start : start + _AT_ONCE])["input_ids"]
        ]

    def collate(self, samples: Sequence[str]) -> Mapping[str, Tensor]:
        """Returns tokens and their mask, ``[b, l]``."""
        return dict(self._tokenize(samples, padding=True, return_tensors="pt"))

    def embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Returns features ``[b, width]``."""
        output = self._output(inputs)
        return self._pool(output, inputs["attention_mask"].to(output.last_hidden_state.device))

    def _output(self, inputs: Mapping[str, Tensor]) -> Any:
        device = next(self.module.parameters()).device
        moved = {key: value.to(device) for key, value in inputs.items()}
        output = self.module(**moved)
        if getattr(output, "last_hidden_state", None) is None:
            raise EncoderError(
                f"encoder={self.name}: expected a model for texts that returns last_hidden_state, "
                f"got {type(self.module).__name__}"
            )
        return output

    def _tokenize(self, samples: Sequence[str], **arguments: Any) -> Any:
        return self._tokenizer(
            list(samples), truncation=True, max_length=self.max_length, **arguments
        )

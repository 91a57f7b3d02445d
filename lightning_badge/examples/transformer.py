"""A small text transformer built with Hugging Face ``transformers``, without pretrained weights."""

from collections.abc import Mapping

from torch import Tensor, nn

from lightning_badge.examples.extra import examples_extra
from lightning_badge.examples.models import Classifier


class SmallTransformer(Classifier):
    """A small BERT encoder, the mean over its tokens, and a linear head.

    It uses the mean instead of the first token because that learns from a few hundred labels
    without pretraining.

    Args:
        num_classes: Number of classes.
        vocabulary: Maximum number of tokens in the tokenizer's vocabulary.
        length: Maximum number of tokens in a text.
        width: Width of the penultimate layer and of all hidden states.
        layers: Number of attention blocks.
        heads: Number of attention heads in each block.
        dropout: Dropout probability.
        lr: Learning rate.
    """

    def __init__(
        self,
        num_classes: int,
        vocabulary: int = 2000,
        length: int = 24,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.1,
        lr: float = 2e-3,
    ) -> None:
        with examples_extra():
            from transformers import BertConfig, BertModel

        super().__init__(num_classes, lr)
        self.save_hyperparameters()
        config = BertConfig(
            vocab_size=vocabulary,
            max_position_embeddings=length,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            attn_implementation="eager",  # other implementations are nondeterministic on some GPUs
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of tokens and their mask, both ``[b, length]``."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        is_token = attention_mask.unsqueeze(2).to(hidden)
        mean = (hidden * is_token).sum(dim=1) / is_token.sum(dim=1).clamp(min=1)
        logits: Tensor = self.head(self.dropout(mean))
        return logits

    def logits_and_targets(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns logits ``[b, num_classes]`` and classes ``[b]`` of a dict batch."""
        return self(batch["input_ids"], batch["attention_mask"]), batch["labels"]

"""A small transformer for texts, of the parts that Hugging Face makes: no pretrained weights."""

from collections.abc import Mapping

from torch import Tensor, nn

from lightning_badge.examples.extra import examples_extra
from lightning_badge.examples.models import Classifier


class SmallTransformer(Classifier):
    """BERT's encoder from a configuration, the mean over its tokens, and a linear head.

    The mean rather than the first token: it learns from a few hundred labels without pretraining.

    Args:
        num_classes: Classes to tell apart.
        vocabulary: Tokens that the tokenizer knows at the most.
        length: Tokens in a text at the most.
        width: Of the penultimate layer and all hidden states.
        layers: Blocks of attention.
        heads: In each block.
        dropout: Share of activations dropped in training.
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
            attn_implementation="eager",  # the others are not deterministic on every GPU
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

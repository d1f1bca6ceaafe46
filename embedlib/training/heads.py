"""Losses of unsupervised adaptation: masked tokens (MLM) and denoising (TSDAE).

Both start from the encoder's own weights and leave the result in the encoder; their heads are our
own, so that any architecture will do, and share the encoder's token embeddings.

Letters: b texts per batch, t tokens, h hidden size, e size of token embeddings, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from embedlib.errors import ModelError

#: Label of a token that does not count.
UNCOUNTED = -100
#: Layers and heads of the TSDAE decoder.
DECODER_LAYERS, DECODER_HEADS = 2, 4


class TokenHead(nn.Module):  # type: ignore[misc]
    """Hidden states to vocabulary scores: dense, GELU, layer norm, the token embeddings transposed.

    Args:
        embeddings: The encoder's token embeddings, shared, [v, e].
        hidden: Size of the hidden states.
    """

    def __init__(self, embeddings: nn.Embedding, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, embeddings.embedding_dim)
        self.norm = nn.LayerNorm(embeddings.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(embeddings.num_embeddings))
        self.embeddings = embeddings

    def forward(self, states: Tensor) -> Tensor:
        """Scores of every token, [..., v], for states [..., h]."""
        return F.linear(self.norm(F.gelu(self.dense(states))), self.embeddings.weight, self.bias)


class MaskedTokens(nn.Module):  # type: ignore[misc]
    """Masked language modelling: cross entropy of the masked tokens.

    Args:
        model: The encoder.
        bf16: bf16 autocast.
    """

    def __init__(self, model: SentenceTransformer, *, bf16: bool = False) -> None:
        super().__init__()
        self.model, self.bf16 = model, bf16
        embeddings = token_embeddings(model)
        self.head = TokenHead(embeddings, int(model[0].get_embedding_dimension()))

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Loss of a batch: features with masked ids; labels [b, t], UNCOUNTED where not masked."""
        (features,) = sentence_features
        counted = labels != UNCOUNTED
        with torch.autocast(labels.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            states = self.model[0](features)["token_embeddings"]  # [b, t, h]
            scores = self.head(states[counted])  # [masked, v]
        return F.cross_entropy(scores.float(), labels[counted])


class Denoising(nn.Module):  # type: ignore[misc]
    """TSDAE (arXiv 2104.06979): the text is rebuilt from the embedding of its damaged form alone.

    The decoder is our own, small, with the encoder's token embeddings at both ends.

    Args:
        model: The encoder.
        pad: Id of the padding token, which does not count.
        bf16: bf16 autocast.
    """

    def __init__(self, model: SentenceTransformer, pad: int, *, bf16: bool = False) -> None:
        super().__init__()
        self.model, self.pad, self.bf16 = model, pad, bf16
        embeddings = token_embeddings(model)
        size = embeddings.embedding_dim
        self.bridge = nn.Linear(int(model.get_embedding_dimension()), size)
        self.positions = nn.Embedding(int(model.max_seq_length or 512), size)
        layer = nn.TransformerDecoderLayer(size, _heads(size), 4 * size, activation="gelu", batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, DECODER_LAYERS)
        self.head = TokenHead(embeddings, size)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Loss of a batch: features of the damaged texts, then of the whole ones."""
        damaged, whole = sentence_features
        ids = whole["input_ids"]  # [b, t]
        given, wanted = ids[:, :-1], ids[:, 1:]
        counted = wanted != self.pad
        causal = nn.Transformer.generate_square_subsequent_mask(given.shape[1], device=ids.device)
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            memory = self.bridge(self.model(damaged)["sentence_embedding"])[:, None]  # [b, 1, e]
            states = self.head.embeddings(given) + self.positions.weight[: given.shape[1]]
            states = self.decoder(states, memory, tgt_mask=causal, tgt_is_causal=True)  # [b, t - 1, e]
            scores = self.head(states[counted])  # [counted, v]
        return F.cross_entropy(scores.float(), wanted[counted])


def token_embeddings(model: SentenceTransformer) -> nn.Embedding:
    """The encoder's token embeddings.

    Raises:
        ModelError: The model has no transformer with token embeddings.
    """
    transformer = getattr(model, "transformers_model", None)
    embeddings = transformer.get_input_embeddings() if transformer is not None else None
    if not isinstance(embeddings, nn.Embedding):
        raise ModelError(
            "this model cannot be adapted",
            expected="a transformer with token embeddings",
            found=type(model[0]).__name__,
            remedy="set adapt.method=none",
        )
    return embeddings


def _heads(size: int) -> int:
    return next(n for n in range(min(DECODER_HEADS, size), 0, -1) if size % n == 0)

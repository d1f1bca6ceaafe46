"""BERT's forward pass in bf16 on a CPU, at about twice the speed of the library's.

Same arithmetic as ``transformers``' BertModel and its RoBERTa kin, arranged for processors with
AMX or AVX512-BF16: weights packed once for oneDNN, query, key and value in one product, GELU and
the residual sums fused into the products, buffers reused from layer to layer, and an attention
made of two batched products with nothing but an ``exp2`` between them:

* ``softmax(s)·V = (2^(s·log2 e)·V) / (2^(s·log2 e)·1)``: the factor log2 e and the scale go into
  the query weights, the denominator is a column of ones beside V. bf16 has the range of fp32, so
  no maximum is subtracted; should a sum overflow, NaN shows it and the caller runs the batch
  through the library.
* Padding costs no mask: a padded key has a zero row in V and in the column of ones.

Letters: b texts, l positions, h heads, e components a head, d = h·e.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from embedlib.models.hardware import cpu_flags
from embedlib.models.loading import is_plain_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_FAMILY = frozenset({"BertModel", "RobertaModel", "XLMRobertaModel", "CamembertModel"})

#: Beyond this many positions the [b·h, l, l] scores outgrow the caches.
LONGEST = 512
#: The least cosine to the model's own states with which the pass is used.
LEAST_COSINE = 0.995

_BF16 = torch.bfloat16


class Linear:
    """One affine layer with its weight packed for oneDNN.

    Args:
        weight: [out, in].
        bias: [out].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(_BF16).contiguous())
        self.bias = bias.to(_BF16).contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """``x W' + b``."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """``gelu(x W' + b)``, the exact one (erf); in place it is faster than fused into the product."""
        return torch.ops.aten.gelu_(self(x))

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """``x W' + b + residual``."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")


class Norm:
    """One layer normalisation in bf16."""

    def __init__(self, module: Any) -> None:
        self.weight, self.bias, self.eps = module.weight.to(_BF16), module.bias.to(_BF16), module.eps

    def __call__(self, x: Tensor) -> Tensor:
        """Each last-axis vector at mean 0 and variance 1, scaled and shifted."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class Layer(NamedTuple):
    """One transformer layer: attention in, attention out, feed-forward up and down, two norms."""

    qkv: Linear
    out: Linear
    after_attention: Norm
    up: Linear
    down: Linear
    after_feed_forward: Norm


class Buffers:
    """Attention's working space for one batch shape, used by every layer in turn."""

    def __init__(self, b: int, l: int, h: int, e: int, mask: Tensor | None) -> None:  # noqa: E741
        self.qk = torch.empty(2, b, h, l, e, dtype=_BF16)
        self.v = torch.ones(b, h, l, e + 1, dtype=_BF16)  # the last column stays: 1, or 0 for padding
        self.scores = torch.empty(b * h, l, l, dtype=_BF16)
        self.sums = torch.empty(b * h, l, e + 1, dtype=_BF16)
        self.out = torch.empty(b * l, h * e, dtype=_BF16)
        self.padding: Tensor | None = None
        if mask is not None:
            self.v[..., e] = mask[:, None, :]
            self.padding = (mask.reshape(-1) == 0).nonzero()[:, 0]
        self.shape = (b, l, h, e)

    def attend(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values [b·l, 3·d] to attention outputs [b·l, d]."""
        b, l, h, e = self.shape  # noqa: E741
        if self.padding is not None:
            qkv.index_fill_(0, self.padding, 0)
        parts = qkv.view(b, l, 3, h, e)
        self.qk.copy_(parts[:, :, :2].permute(2, 0, 3, 1, 4))
        self.v[..., :e].copy_(parts[:, :, 2].transpose(1, 2))
        q, k = self.qk.view(2, b * h, l, e)
        torch.bmm(q, k.transpose(1, 2), out=self.scores)
        torch.bmm(self.scores.exp2_(), self.v.view(b * h, l, e + 1), out=self.sums)
        sums = self.sums.view(b, h, l, e + 1)
        torch.div(sums[..., :e], sums[..., e:], out=self.out.view(b, l, h, e).transpose(1, 2))
        return self.out


class FusedBert:
    """A BERT-like backbone's last hidden states, computed in bf16 from packed copies of its weights.

    Attributes:
        longest: Positions beyond which the library's attention is the better one.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.longest = LONGEST
        self.heads = int(model.config.num_attention_heads)
        with torch.no_grad():
            self._copy_weights()

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and right-padded mask, both [b, l], to hidden states, float32 [b, l, d]."""
        b, l = ids.shape  # noqa: E741
        d = self.words.shape[1]
        x = self.norm(functional.embedding(ids, self.words) + self.positions[:l]).view(b * l, d)
        buffers = Buffers(b, l, self.heads, d // self.heads, None if bool(mask.all()) else mask)
        for layer in self.layers:
            x = layer.after_attention(layer.out.plus(buffers.attend(layer.qkv(x)), x))
            x = layer.after_feed_forward(layer.down.plus(layer.up.gelu(x), x))
        return x.view(b, l, d).float()

    def _copy_weights(self) -> None:
        embeddings = self._model.embeddings
        first = _first_position(embeddings)
        self.words = embeddings.word_embeddings.weight.to(_BF16)
        positions = embeddings.position_embeddings.weight[first:] + embeddings.token_type_embeddings.weight[0]
        self.positions = positions.to(_BF16)
        self.norm = Norm(embeddings.LayerNorm)
        self.layers = [_layer(layer, self.heads) for layer in self._model.encoder.layer]


#: PyTorch's own, and not promised: another version may not have them.
_OPERATORS = ("_reorder_linear_weight", "_linear_pointwise")


def supports(model: Any) -> bool:
    """Whether a backbone is of the BERT family in the plain form that ``FusedBert`` computes."""
    config: Any = getattr(model, "config", None)
    return (
        type(model).__name__ in _FAMILY
        and type(model).__module__.startswith("transformers.models.")
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
        and bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and all(parameter.device.type == "cpu" for parameter in model.parameters())
    )


def agrees(fused: FusedBert, model: Any) -> bool:
    """Whether the fused pass gives the model's own states on a padded probe, by the worst cosine."""
    words = int(model.config.vocab_size)
    ids = torch.arange(2 * 12).view(2, 12) * 7919 % words
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    with torch.inference_mode():
        own = model(input_ids=ids, attention_mask=mask, **_positions(model, mask)).last_hidden_state.float()
        cosines = functional.cosine_similarity(own, fused(ids, mask), dim=-1)[mask == 1]
    return bool((cosines >= LEAST_COSINE).all())


def fused_pass(module: SentenceTransformer) -> FusedBert | None:
    """The fused bf16 pass of a model of the BERT family, None for others; the module stays as it is."""
    backbone = getattr(module[0], "auto_model", None)
    if not (is_plain_text(module) and module.tokenizer.padding_side == "right" and supports(backbone)):
        return None
    fused = FusedBert(backbone)
    if agrees(fused, backbone):
        return fused
    logger.warning("the fused pass disagrees with %s: using the library's", type(backbone).__name__)
    return None


def _positions(model: Any, mask: Tensor) -> dict[str, Tensor]:
    """Explicit positions: the RoBERTa family derives them from the padding id, which a probe may contain."""
    return {"position_ids": torch.arange(mask.shape[1])[None] + _first_position(model.embeddings)}


def _first_position(embeddings: Any) -> int:
    padding = getattr(embeddings, "padding_idx", None)
    return padding + 1 if isinstance(padding, int) else 0


def _layer(layer: Any, heads: int) -> Layer:
    attention = layer.attention.self
    query, key, value = attention.query, attention.key, attention.value
    factor = math.log2(math.e) / math.sqrt(query.weight.shape[0] // heads)
    return Layer(
        Linear(
            torch.cat([query.weight * factor, key.weight, value.weight]),
            torch.cat([query.bias * factor, key.bias, value.bias]),
        ),
        Linear(layer.attention.output.dense.weight, layer.attention.output.dense.bias),
        Norm(layer.attention.output.LayerNorm),
        Linear(layer.intermediate.dense.weight, layer.intermediate.dense.bias),
        Linear(layer.output.dense.weight, layer.output.dense.bias),
        Norm(layer.output.LayerNorm),
    )

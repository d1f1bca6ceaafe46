"""A BERT encoder in NumPy: for one query, importing torch takes a hundred times as long as computing.

Only what this project's own releases usually are: a plain BERT saved by sentence-transformers with mean
or CLS pooling. Every deviation from that leaves the model to the library.

Letters: l tokens, d = h·e components (h heads of e), f the width of the feed-forward layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import Floats
from embedlib.models.encoder import check_texts, check_vectors, unit_norm
from embedlib.models.prompts import choose_prompts
from embedlib.progress import Progress, silent

_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
_POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
_NORMALIZE = "sentence_transformers.base.modules.normalize.Normalize"
#: How sentence-transformers saves a transformer that takes text and does nothing else to it.
_PLAIN = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
_BERT = {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "is_decoder": False}


_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


class NumpyBert:
    """The vectors that ``load_encoder`` would give of a folder that ``supports`` accepts, in fp32."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self.name = str(folder)
        self._config = _read(folder, "config.json")
        settings = _read(folder, "config_sentence_transformers.json")
        self.prompts = choose_prompts(
            self.name, settings.get("prompts", {}), settings.get("default_prompt_name"), {}
        )
        modules = [module["type"] for module in _read(folder, "modules.json")]
        self.normalized = _NORMALIZE in modules or settings.get("similarity_fn_name") != "dot"
        self.dimension = int(settings.get("truncate_dim") or self._config["hidden_size"])
        declared = _read(folder, "tokenizer_config.json").get("model_max_length") or math.inf
        self.max_length: int | None = int(min(declared, self._config["max_position_embeddings"]))
        self._mean = _read(folder, "1_Pooling/config.json")["pooling_mode"] == "mean"
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)

    def encode_queries(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of queries, float32 [n, dimension], with the model's query prompt."""
        return self.encode(texts, prompt=self.prompts.query, progress=progress)

    def encode_documents(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of documents, float32 [n, dimension], with the model's document prompt."""
        return self.encode(texts, prompt=self.prompts.document, progress=progress)

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress: Progress = silent) -> Floats:
        """Vectors of texts, float32 [n, dimension], one text at a time."""
        check_texts(texts, self.name)
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for i, text in enumerate(texts):
            states = self._states(self._tokenizer.encode(prompt + text).ids)
            vectors[i] = (states.mean(axis=0) if self._mean else states[0])[: self.dimension]
            progress(i + 1, len(texts), "encoding")
        check_vectors(vectors, texts, self.name)
        return unit_norm(vectors) if self.normalized else vectors

    def _states(self, ids: Sequence[int]) -> Floats:
        """Token ids to the last layer's states, [l, d]."""
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][list(ids)]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for n in range(self._config["num_hidden_layers"]):
            x = self._layer(x, f"encoder.layer.{n}")
        return x

    def _layer(self, x: Floats, name: str) -> Floats:
        attended = self._attend(x, f"{name}.attention.self")
        attended = self._linear(attended, f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
        up = self._linear(x, f"{name}.intermediate.dense")  # [l, f]
        return self._norm(x + self._linear(gelu(up), f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attend(self, x: Floats, name: str) -> Floats:
        l, h = len(x), self._config["num_attention_heads"]  # noqa: E741
        q, k, v = (
            self._linear(x, f"{name}.{part}").reshape(l, h, -1).swapaxes(0, 1)  # [h, l, e]
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / np.float32(math.sqrt(q.shape[2]))  # [h, l, l]
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        return (shares @ v / shares.sum(axis=2, keepdims=True)).swapaxes(0, 1).reshape(l, -1)  # type: ignore[no-any-return]

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]  # type: ignore[no-any-return]

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=1, keepdims=True)
        variance = np.square(centred).mean(axis=1, keepdims=True)
        unit = centred / np.sqrt(variance + np.float32(self._config["layer_norm_eps"]))
        return unit * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]  # type: ignore[no-any-return]


def gelu(x: Floats) -> Floats:
    """``x·(1 + erf(x/√2))/2``, erf to 1.5e-7 by Abramowitz and Stegun, *Handbook*, 7.1.26.

    >>> round(float(gelu(np.float32([1.0]))[0]), 6)
    0.841345
    """
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series: Any = np.float32(_ERF[-1])
    for a in _ERF[-2::-1]:
        series = series * t + np.float32(a)
    erf = np.copysign(1 - series * t * np.exp(-z * z), x)
    return x * (np.float32(0.5) + np.float32(0.5) * erf)  # type: ignore[no-any-return]


def supports(folder: Path) -> bool:
    """Whether a model folder is a plain BERT in single precision, as sentence-transformers saves it."""
    from safetensors import SafetensorError, safe_open

    try:
        modules = [module["type"] for module in _read(folder, "modules.json")]
        config, pooling = _read(folder, "config.json"), _read(folder, "1_Pooling/config.json")
        with safe_open(folder / "model.safetensors", "np") as weights:
            single = all(weights.get_slice(name).get_dtype() == "F32" for name in weights.keys())  # noqa: SIM118
        return (
            modules in ([_TRANSFORMER, _POOLING], [_TRANSFORMER, _POOLING, _NORMALIZE])
            and _read(folder, "sentence_bert_config.json") == _PLAIN
            and {name: config.get(name) for name in _BERT} == _BERT
            and config.get("position_embedding_type", "absolute") == "absolute"
            and pooling["pooling_mode"] in ("mean", "cls")
            and pooling["include_prompt"] is True
            and (folder / "tokenizer.json").is_file()
            and (folder / "tokenizer_config.json").is_file()
            and single
        )
    except (OSError, ValueError, LookupError, TypeError, SafetensorError):
        return False  # the library says what is wrong with it


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))

"""Local models: sentence-transformers folders, plain transformers checkpoints, hub models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import ModelError, OutOfMemory
from embedlib.models.encoder import check_texts, check_vectors, unit_norm
from embedlib.models.hardware import default_device, resolve_precision
from embedlib.models.loading import (
    effective_max_length,
    is_plain_text,
    load_module,
    no_progress_bars,
    set_max_length,
    set_pooling,
)
from embedlib.models.options import Strategy
from embedlib.models.prompts import Prompts, choose_prompts
from embedlib.models.resolve import resolve_model
from embedlib.models.streams import over_cores
from embedlib.models.tokens import Ints, Tokenizing, batches, tokenized_ahead
from embedlib.progress import Progress, silent

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedlib.models.fused import FusedBert

logger = logging.getLogger(__name__)

#: Tokens per batch, padding included: enough work a call, small enough for the processor's caches.
CPU_BUDGET, GPU_BUDGET = 2048, 65536
#: Texts a batch where no transformer runs, and the library's.
STATIC_BATCH, OTHER_BATCH = 128, 32


class LocalEncoder:
    """A sentence-transformers model with its prompts, in batches of texts of like length.

    Args:
        module: The model.
        name: What it was loaded as.
        prompts: Its query and document prompts.
        dimension: Leading components to keep (Matryoshka); None for all.

    Attributes:
        module: The ``SentenceTransformer`` itself, for training and saving.
        normalized: Whether vectors come out at unit norm: unless the model declares the inner
            product (``similarity_fn_name`` ``dot``) as its similarity.
        truncated: Texts cut at ``max_length`` so far.
        tokens: Tokens encoded so far.
    """

    def __init__(
        self,
        module: SentenceTransformer,
        *,
        name: str,
        prompts: Prompts,
        dimension: int | None = None,
    ) -> None:
        import torch

        self.module = module.eval()
        self.name = name
        self.prompts = prompts
        self.full_dimension = int(module.get_embedding_dimension() or 0)
        self.dimension = dimension or self.full_dimension
        self.max_length: int | None = effective_max_length(module)
        self.normalized = module.similarity_fn_name != "dot"
        self.truncated = 0
        self.tokens = 0
        self._tokenizing = Tokenizing(module.tokenizer, self.max_length) if is_plain_text(module) else None
        self._fused: FusedBert | None = None
        # on a GPU, a second thread prepares a batch while the first one's is computed
        self._at_once = torch.get_num_threads() if module.device.type == "cpu" else 2

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.module.tokenizer

    @property
    def static(self) -> bool:
        """Whether the model is a table of token vectors: no transformer runs."""
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        return isinstance(self.module[0], StaticEmbedding)

    @property
    def accelerated(self) -> bool:
        """Whether texts go through the fused bf16 pass."""
        return self._fused is not None

    def accelerate(self) -> None:
        """Encode in bf16 by the fused pass where the model allows it; its weights stay and may be trained.

        The pass works on copies: call it again after the weights have changed.
        """
        from embedlib.models.fused import fused_pass

        self._fused = fused_pass(self.module)

    def encode_queries(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of queries, float32 [n, dimension], with the model's query prompt."""
        return self._encode(texts, self.prompts.query, "query", progress)

    def encode_documents(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of documents, float32 [n, dimension], with the model's document prompt."""
        return self._encode(texts, self.prompts.document, "document", progress)

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress: Progress = silent) -> Floats:
        """Vectors of texts, float32 [n, dimension], each text preceded by ``prompt`` and nothing else.

        Identical texts are encoded once.

        Raises:
            DataError: A text is empty or not a string; its index is named.
            ModelError: The model gave NaN, infinity or a zero vector; its index is named.
        """
        return self._encode(texts, prompt, None, progress)

    def count_tokens(self, texts: Sequence[str]) -> Ints:
        """Tokens of each text before any cut, special tokens included, [n]."""
        if self._tokenizing is not None:
            return self._tokenizing.count(texts)
        if hasattr(self.tokenizer, "encode_batch"):  # a static model's, which is no transformer's
            return np.asarray(
                [len(t) for t in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]
            )
        ids = self.tokenizer(list(texts), truncation=False, padding=False)["input_ids"]
        return np.asarray([len(i) for i in ids], dtype=np.int64)

    def save(self, path: str | Path) -> None:
        """Write a sentence-transformers folder that gives the same vectors, prompts and length included."""
        self.module.prompts.update(query=self.prompts.query, document=self.prompts.document)
        if self.dimension != self.full_dimension:
            self.module.truncate_dim = self.dimension
        with no_progress_bars():
            self.module.save(str(path), create_model_card=False)

    def _encode(self, texts: Sequence[str], prompt: str, task: str | None, progress: Progress) -> Floats:
        check_texts(texts, self.name)
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        place: dict[str, int] = {}
        index = [place.setdefault(text, len(place)) for text in texts]
        unique = list(place)
        if self._tokenizing is None:
            raw = self._encode_by_library(unique, prompt, task)
        else:
            raw = self._encode_in_batches(self._tokenizing, [prompt + text for text in unique], progress)
        vectors = raw[:, : self.dimension]
        check_vectors(vectors, unique, self.name)
        if self.normalized:
            vectors = unit_norm(vectors)
        return vectors if len(unique) == len(texts) else vectors[index]

    def _encode_in_batches(self, tokenizing: Tokenizing, texts: list[str], progress: Progress) -> Floats:
        """Windows of texts, tokenized ahead, sorted by length, in batches, put back in order; [n, full]."""
        out = np.empty((len(texts), self.full_dimension), dtype=np.float32)
        done = 0
        device = self.module.device.type
        autocast, budget = _autocast_of_caller(device), CPU_BUDGET if device == "cpu" else GPU_BUDGET
        for start, tokens in tokenized_ahead(tokenizing, texts):
            self.truncated += tokens.truncated
            self.tokens += int(tokens.lengths.sum())

            def run(batch: Ints, ids: list[list[int]] = tokens.ids) -> Floats:
                with autocast():
                    return self._halving(tokenizing, [ids[i] for i in batch])

            for batch, vectors in over_cores(run, list(batches(tokens.lengths, budget)), self._at_once):
                out[start + batch] = vectors
                done += len(batch)
                progress(done, len(texts), "encoding")
        return out

    def _halving(self, tokenizing: Tokenizing, ids: list[list[int]]) -> Floats:
        """Token ids of one batch to vectors, [b, full]; a batch that does not fit the device is halved."""
        import torch

        try:
            return self._forward(tokenizing.features(ids, self.module.device))
        except torch.OutOfMemoryError as error:
            if len(ids) == 1:
                raise OutOfMemory(
                    "a single text does not fit the device's memory",
                    where=self.name,
                    found=f"{len(ids[0])} tokens on {self.module.device}",
                    remedy="lower model.max_length, or use a smaller model or a larger device",
                ) from error
        half = len(ids) // 2
        return np.concatenate([self._halving(tokenizing, part) for part in (ids[:half], ids[half:])])

    def _forward(self, features: dict[str, Any]) -> Floats:
        """Model inputs of one batch to vectors, float32 [b, full]; overflow in bf16 falls back to fp32."""
        import torch

        with torch.inference_mode():
            if self._fused is not None and features["input_ids"].shape[1] <= self._fused.longest:
                states = self._fused(features["input_ids"], features["attention_mask"])
                out = self._after_backbone({**features, "token_embeddings": states})
                if bool(torch.isfinite(out).all()):
                    return out.numpy()  # type: ignore[no-any-return]
            out = self.module(features)["sentence_embedding"]
        return out.float().cpu().numpy()  # type: ignore[no-any-return]

    def _after_backbone(self, features: dict[str, Any]) -> Any:
        """The modules behind the transformer: pooling, dense layers, normalisation."""
        from embedlib.models.pooling import pool

        for part in list(self.module)[1:]:
            features = pool(part, features) or part(features)
        return features["sentence_embedding"]

    def _encode_by_library(self, texts: list[str], prompt: str, task: str | None) -> Floats:
        """Any other module pipeline (routers, images, static embeddings): the library's own loop."""

        def run(part: list[str]) -> Floats:
            found = self.module.encode(
                part,
                prompt=prompt,
                task=task,
                batch_size=STATIC_BATCH if self.static else OTHER_BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            return np.asarray(found, dtype=np.float32)

        size = STATIC_BATCH if self.static else len(texts)
        parts = [texts[i : i + size] for i in range(0, len(texts), size)]
        with self.module.truncate_embeddings(None):
            return np.concatenate([found for _, found in over_cores(run, parts, self._at_once)])


def load_encoder(
    name_or_path: str | Path,
    *,
    dtype: Literal["fp32", "bf16", "auto"] = "fp32",
    device: str | None = None,
    max_length: int | None = None,
    dimension: int | None = None,
    prompts: Prompts | Mapping[str, str] | None = None,
    pooling: Strategy | None = None,
    trust_remote_code: bool = False,
) -> LocalEncoder:
    """Load a local or hub model.

    Args:
        name_or_path: See ``resolve_model``; ``name@revision`` for a revision on the hub.
        dtype: Precision of the weights; ``auto`` is bf16 where the hardware is faster at it.
        device: ``cpu``, ``cuda``, ``cuda:1``, …; None for the best there is.
        max_length: Maximum tokens per text; None for the model's own limit.
        dimension: Leading components to keep of a vector (Matryoshka); None for all.
        prompts: ``Prompts``, or a mapping with ``query`` or ``document``; what is missing is the
            model's own or the published one.
        pooling: For a plain transformers checkpoint: how token states become one vector. A
            sentence-transformers model has its own; another one replaces it.
        trust_remote_code: Whether code in the model's repository may be run.

    Raises:
        ModelError: It does not exist, does not load, or does not fit these options.
    """
    folder = resolve_model(name_or_path)
    device = device or default_device()
    precision = resolve_precision(dtype, device)
    module = load_module(folder, device, "fp32" if device == "cpu" else precision, trust_remote_code)
    set_pooling(module, pooling, folder)
    set_max_length(module, max_length)
    given = prompts._asdict() if isinstance(prompts, Prompts) else prompts or {}
    chosen = choose_prompts(str(name_or_path), module.prompts, module.default_prompt_name, given)
    dimension = dimension or module.truncate_dim
    module.truncate_dim = None
    full = int(module.get_embedding_dimension() or 0)
    if dimension is not None and not 0 < dimension <= full:
        raise ModelError(
            "the model has no such dimension",
            where=str(folder),
            expected=f"1 to {full}",
            found=str(dimension),
        )
    encoder = LocalEncoder(module, name=str(name_or_path), prompts=chosen, dimension=dimension)
    if precision == "bf16" and device == "cpu":
        encoder.accelerate()
        if not encoder.accelerated:
            module.bfloat16()
    return encoder


def _autocast_of_caller(device: str) -> Callable[[], AbstractContextManager[Any]]:
    """Autocast as it is set here, for other threads: torch keeps it by thread."""
    import torch

    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    return lambda: torch.autocast(device, dtype=dtype, enabled=enabled)

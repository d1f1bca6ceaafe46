"""Second-stage scoring of hits by a model that reads query and document together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError, ModelError, OutOfMemory, first_line, type_and_line
from embedlib.memory import is_out_of_memory
from embedlib.models.hardware import no_attention_plans, resolve_precision
from embedlib.models.loading import made_up_weights, require_weights
from embedlib.models.resolve import resolve_model
from embedlib.retrieval.hits import NO_ROW, Hits, sort_hits

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)

PairScorer = Callable[[list[tuple[str, str]]], Floats]

#: Queries whose documents' texts are in memory at once.
CHUNK = 256
#: Pairs that a cross-encoder reads at once.
BATCH_SIZE = 16


def score_rows(
    score: PairScorer, queries: Sequence[str], rows: Rows, texts_of: Callable[[Rows], list[str]]
) -> Floats:
    """Score every (query, document) of a table of rows, ``CHUNK`` queries' texts in memory at a time.

    Args:
        score: (query, document text) pairs to float32 [n].
        queries: q query texts.
        rows: int64 [q, n], -1 where there is no document.
        texts_of: Texts of rows, in the order given.

    Returns:
        float32 [q, n], -inf where there is no document.

    Raises:
        DataError: The model gave a score that is not finite.
    """
    out = np.full(rows.shape, -np.inf, dtype=np.float32)
    for low in range(0, len(queries), CHUNK):
        block = rows[low : low + CHUNK]
        query, place = np.nonzero(block != NO_ROW)
        distinct, position = np.unique(block[query, place], return_inverse=True)
        texts = texts_of(distinct) if len(distinct) else []
        pairs = [(queries[low + int(q)], texts[int(p)]) for q, p in zip(query, position, strict=True)]
        if pairs:
            out[low + query, place] = _finite(np.asarray(score(pairs), dtype=np.float32), pairs)
    return out


def rerank_first(
    score: PairScorer,
    queries: Sequence[str],
    hits: Hits,
    texts_of: Callable[[Rows], list[str]],
    depth: int,
    weight: float | None,
) -> Hits:
    """The first ``depth`` hits as ``score`` orders them; all hits by both scores where it has a weight."""
    read = hits.rows[:, :depth]
    scores = score_rows(score, queries, read, texts_of)
    return sort_hits(read, scores, depth) if weight is None else interpolate(hits, scores, weight)


def interpolate(hits: Hits, scores: Floats, weight: float) -> Hits:
    """Hits ordered by first score + ``weight`` · second score, ties by row.

    A document beyond the depth counts as the worst one read, so that it never passes one that was.

    Args:
        hits: q queries' hits of the first stage, [q, k].
        scores: Second scores of the first d of them, float32 [q, d], -inf where there is no document.
        weight: Of the second scores.
    """
    there = hits.rows != NO_ROW
    worst = np.where(there[:, : scores.shape[1]], scores, np.inf).min(axis=1, initial=np.inf)
    second = np.broadcast_to(worst[:, None], hits.rows.shape).copy()
    second[:, : scores.shape[1]] = scores
    total = hits.scores + weight * np.where(there, second, 0)
    return sort_hits(hits.rows, total.astype(np.float32), hits.rows.shape[1])


def load_cross_encoder(name_or_path: str | Path) -> PairScorer:
    """A CrossEncoder by name or folder as a scorer of pairs (its raw activation, one number a pair).

    It computes in bf16 where the hardware is faster at that.

    Raises:
        ModelError: It cannot be loaded, is no cross-encoder, or gives more than one number a pair.
    """
    from sentence_transformers import CrossEncoder

    if not str(name_or_path).strip() or name_or_path == Path():
        raise ModelError(
            "no cross-encoder is named",
            expected="a CrossEncoder's name or folder",
            found=repr(str(name_or_path)),
            remedy="name one, or leave re-ranking out",
        )
    folder = resolve_model(name_or_path)
    no_attention_plans()
    try:
        with made_up_weights() as missing:
            model = CrossEncoder(str(folder), local_files_only=True)
    except Exception as error:  # damaged files raise whatever their reader does
        raise ModelError(
            "this cross-encoder cannot be loaded",
            where=str(name_or_path),
            expected="a CrossEncoder's folder with config.json, tokenizer and safetensors weights",
            found=type_and_line(error),
            remedy="get its files again, or name another cross-encoder",
        ) from error
    embeds = (
        "an embedding model scores no pairs; name a cross-encoder such as cross-encoder/ms-marco-MiniLM-L6-v2"
    )
    require_weights(missing, str(name_or_path), embeds)
    if model.num_labels != 1:
        raise ModelError(
            "this cross-encoder does not give one score a pair",
            where=str(name_or_path),
            expected="1 label",
            found=f"{model.num_labels} labels",
        )

    return lambda pairs: _predict(model, pairs, str(name_or_path))


def _predict(model: CrossEncoder, pairs: list[tuple[str, str]], where: str) -> Floats:
    """The model's scores, in smaller batches where one does not fit the memory.

    Padding and precision make a pair's score differ a little with the pairs beside it, as with any model.

    Raises:
        OutOfMemory: Not even one pair fits.
    """
    import torch

    batch_size, kind = BATCH_SIZE, model.device.type
    bf16 = torch.autocast(kind, torch.bfloat16, enabled=resolve_precision("auto", kind) == "bf16")
    while True:
        try:
            with bf16:
                values = model.predict(pairs, batch_size=batch_size, show_progress_bar=False)
            return np.asarray(values, dtype=np.float32).reshape(len(pairs))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise OutOfMemory(
                    "re-ranking ran out of memory",
                    where=where,
                    expected=f"room for one pair of {model.max_seq_length} tokens",
                    found=first_line(error),
                    remedy="free memory, or name a smaller cross-encoder or one that reads fewer tokens",
                ) from error
            logger.warning("%d pairs at once do not fit the memory; trying %d", batch_size, batch_size // 2)
            batch_size //= 2


def _finite(values: Floats, pairs: list[tuple[str, str]]) -> Floats:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        query, text = pairs[int(bad[0])]
        raise DataError(
            "the reranker gave a score that is not finite",
            where=f"query {query[:80]!r}, document {text[:80]!r}",
            expected="a finite number",
            found=str(values[bad[0]]),
            remedy="check the cross-encoder's weights and precision",
        )
    return values
